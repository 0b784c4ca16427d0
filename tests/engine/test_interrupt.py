"""A run that is asked to stop saves a checkpoint, from which it goes on to the same bits."""
from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from ranks import NO_CLOCK, run_ranks

from razor_ext.engine import interrupt
from razor_ext.engine.interrupt import InterruptHook, RunInterrupted, resume_command
from tests.compat.tiny_run import make_run, weights
from tests.tools.commands import FOLDERS, ROOT


class SignalHook(Hook):
    """Sends this process a signal in an iteration, or in a validation after it."""

    def __init__(self, iteration: int, number: int = signal.SIGTERM,
                 validating: bool = False) -> None:
        self.iteration, self.number, self.validating = iteration, number, validating

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration and not self.validating:
            os.kill(os.getpid(), self.number)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter >= self.iteration and self.validating and batch_idx == 1:
            self.validating = False
            os.kill(os.getpid(), self.number)


def _interrupted(folder: Path, hook: SignalHook, **options: object) -> str:
    run = make_run(folder, stop=-1, **options)
    run.register_hook(hook)
    run.register_hook(InterruptHook(['tools/train.py', 'a b.py']))
    with pytest.raises(RunInterrupted) as caught:
        run.train()
    return str(caught.value)


WORKERS = {'no worker': dict(), 'two workers': dict(workers=2),
           'two workers that stay': dict(workers=2, persistent=True)}


@pytest.mark.parametrize(('workers', 'epochs', 'iteration'), [
    ('no worker', True, 5), ('two workers that stay', True, 7), ('two workers', False, 6), *(
        pytest.param(workers, *at, marks=pytest.mark.slow) for workers, at in (
            ('no worker', (True, 7)), ('no worker', (False, 6)), ('two workers', (True, 5)),
            ('two workers', (True, 7)), ('two workers that stay', (True, 5)),
            ('two workers that stay', (False, 6))))])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, workers, epochs, iteration):
    options = dict(epochs=epochs, **WORKERS[workers])
    before = signal.getsignal(signal.SIGTERM)
    message = _interrupted(tmp_path / 'run', SignalHook(iteration), **options)
    assert signal.getsignal(signal.SIGTERM) is before
    assert f'SIGTERM after iteration {iteration + 1} of 12' in message
    assert "python tools/train.py 'a b.py' --resume" in message
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith('run/interrupted.pth')
    again = make_run(tmp_path / 'run', resume=True, **options)
    again.train()
    whole = make_run(tmp_path / 'whole', **options)
    whole.train()
    assert again.iter == 12 and weights(again) == weights(whole)


@pytest.mark.parametrize('epochs', [True, False])
def test_a_run_that_validates_stops_afterwards(tmp_path, epochs):
    message = _interrupted(tmp_path / 'run', SignalHook(4, signal.SIGINT, validating=True),
                           epochs=epochs)
    assert 'SIGINT after iteration 4 of 12' in message
    again = make_run(tmp_path / 'run', epochs=epochs, resume=True)
    again.train()
    whole = make_run(tmp_path / 'whole', epochs=epochs)
    whole.train()
    assert weights(again) == weights(whole)


def test_at_its_end_a_run_ends(tmp_path):
    run = make_run(tmp_path)
    run.register_hook(SignalHook(11))
    run.register_hook(InterruptHook())
    run.train()
    assert run.iter == 12 and not (tmp_path / interrupt.CHECKPOINT).exists()


@pytest.mark.smoke
@pytest.mark.parametrize(('given', 'wanted'), [
    (['t.py', 'c.py'], 't.py c.py --resume'),
    (['t.py', 'c.py', '--resume'], 't.py c.py --resume'),
    (['t.py', 'c.py', '--resume', 'a.pth', '--amp'], 't.py c.py --amp --resume'),
    (['t.py', 'c.py', '--resume=a.pth', '--local-rank=1'], 't.py c.py --resume'),
])
def test_the_command_resumes(given, wanted, monkeypatch):
    monkeypatch.delenv('LOCAL_WORLD_SIZE', raising=False)
    assert resume_command(given) == f'python {wanted}'
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    assert resume_command(given) == f'torchrun --nproc_per_node=2 {wanted}'


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', f'file://{folder}/meet', rank=rank, world_size=2)
    run = make_run(Path(folder, 'run'))
    if rank == 1:  # one rank alone is asked
        run.register_hook(SignalHook(2))
    run.register_hook(InterruptHook())
    try:
        run.train()
    except RunInterrupted as stopped:
        Path(folder, f'rank{rank}').write_text(str(stopped))
    again = make_run(Path(folder, 'run'), resume=True)
    again.train()
    assert again.iter == again.max_iters
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@NO_CLOCK
def test_all_ranks_stop_after_the_same_iteration(tmp_path):
    run_ranks(_rank, (str(tmp_path), ))
    messages = [(tmp_path / f'rank{rank}').read_text() for rank in range(2)]
    assert messages[0] == messages[1] and 'SIGTERM after iteration' in messages[0]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A tiny pose run that is long enough to be stopped."""
    path = tmp_path / 'dense.py'
    from tiny_pose import tiny_rtmpose

    Config(dict(
        custom_imports=dict(imports=['razor_ext', 'tiny_pose'], allow_failed_imports=False),
        default_scope='mmpose', model=tiny_rtmpose(),
        train_dataloader=dict(batch_size=2, num_workers=0, dataset=dict(type='DotPeople'),
                              sampler=dict(type='DefaultSampler', shuffle=True)),
        train_cfg=dict(by_epoch=True, max_epochs=2000),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)))).dump(path)
    return path


def test_the_tool_ends_with_its_status_and_is_alone_in_its_folder(config, tmp_path):
    environment = dict(os.environ, OMP_NUM_THREADS='1',
                       PYTHONPATH=os.pathsep.join(map(str, FOLDERS)))
    command = [sys.executable, 'tools/train.py', str(config), '--work-dir', str(tmp_path / 'run')]
    options = dict(cwd=ROOT, env=environment, text=True, stderr=subprocess.STDOUT,
                   stdout=subprocess.PIPE)
    with subprocess.Popen(command, **options) as first:
        for line in first.stdout:
            if 'Epoch(train)' in line:
                break
        second = subprocess.run(command, check=False, timeout=250, **options)
        assert second.returncode == 1
        assert f'run is in use: another run writes there (process {first.pid})' in second.stdout
        first.send_signal(signal.SIGINT)
        rest, _ = first.communicate(timeout=250)
    assert first.returncode == interrupt.STOPPED, rest[-3000:]
    assert 'stopped by SIGINT after iteration' in rest
    assert shlex.join(['python', *command[1:], '--resume']) in rest
    assert not (tmp_path / 'run' / '.lock').exists()
