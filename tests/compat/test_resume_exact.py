"""A resumed run has the random numbers of one that was not stopped, to the bit."""
from __future__ import annotations

import ast
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from ranks import NO_CLOCK, run_ranks

import razor_ext  # noqa: F401
from razor_ext.compat import mmengine_resume, safe_load

from .tiny_run import Stopped, make_run, weights

WORKERS = {'no worker': dict(), 'two workers': dict(workers=2),
           'two workers that stay': dict(workers=2, persistent=True)}
# Iterations are saved by twos, so that run is saved within what would be an epoch.
STOPS = {'epochs': (True, 6), 'iterations': (False, 7), 'saved within an epoch': (True, 7)}
#: Regular tests meet each stop and each kind of worker, slow ones their other pairs.
STOPPED = [('epochs', 'no worker'), ('iterations', 'two workers that stay'),
           ('saved within an epoch', 'two workers'), *(
    pytest.param(case, workers, marks=pytest.mark.slow) for case, workers in (
        ('epochs', 'two workers'), ('epochs', 'two workers that stay'), ('iterations', 'no worker'),
        ('iterations', 'two workers'), ('saved within an epoch', 'no worker'),
        ('saved within an epoch', 'two workers that stay')))]


@pytest.mark.parametrize(('case', 'workers'), STOPPED)
def test_a_stopped_run_ends_as_one_that_was_not(tmp_path, workers, case):
    epochs, stop = STOPS[case]
    options = dict(epochs=epochs, **WORKERS[workers])
    if 'within' in case:
        options['checkpoint'] = dict(by_epoch=False, interval=2)
    whole = make_run(tmp_path / 'whole', **_own(options))
    whole.train()
    with pytest.raises(Stopped):
        make_run(tmp_path / 'run', stop=stop, **_own(options)).train()
    again = make_run(tmp_path / 'run', resume=True, **_own(options))
    again.train()
    assert again.iter == whole.iter == 12
    assert weights(again) == weights(whole)


def _own(options: dict) -> dict:
    checkpoint = options.get('checkpoint')
    return options if checkpoint is None else {**options, 'checkpoint': dict(checkpoint)}


def test_a_run_without_a_seed_keeps_its_order(tmp_path):
    with pytest.raises(Stopped):
        make_run(tmp_path, stop=6, seed=None).train()
    first = safe_load(tmp_path / 'epoch_1.pth')['meta']['seed']
    again = make_run(tmp_path, resume=True, seed=None)
    again.train()
    assert again.seed == first == again.train_dataloader.sampler.seed


def test_workers_that_stay_draw_anew_in_every_epoch(tmp_path):
    run = make_run(tmp_path, workers=1, persistent=True, length=2)
    batches = []
    run.register_hook(_Recorder(batches))
    run.train()
    fractions = [sorted(float(x) % 1 for sample in batch for x in sample) for batch in batches]
    assert len({tuple(row) for row in fractions}) == 8


class _Recorder(Hook):
    def __init__(self, batches: list) -> None:
        self.batches = batches

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append(data_batch['inputs'])


@pytest.mark.smoke
def test_a_checkpoint_of_before_still_resumes(tmp_path):
    with pytest.raises(Stopped):
        make_run(tmp_path, stop=6).train()
    path = tmp_path / 'epoch_1.pth'
    checkpoint = safe_load(path)
    del checkpoint['meta'][mmengine_resume.STATES], checkpoint['meta'][mmengine_resume.BATCHES]
    torch.save(checkpoint, path)
    again = make_run(tmp_path, resume=True)
    again.train()
    assert again.iter == 12


def test_another_number_of_ranks_is_said(tmp_path, caplog):
    with pytest.raises(Stopped):
        make_run(tmp_path, stop=6).train()
    path = tmp_path / 'epoch_1.pth'
    checkpoint = safe_load(path)
    checkpoint['meta'][mmengine_resume.STATES] *= 2
    torch.save(checkpoint, path)
    again = make_run(tmp_path, resume=True)
    again.logger.addHandler(caplog.handler)
    again.train()
    assert 'of 2 ranks, and there are 1' in caplog.text


def _rank(rank: int, folder: str, rendezvous: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', f'file://{rendezvous}', rank=rank, world_size=2)
    make_run(Path(folder, 'whole')).train()
    whole = _numbers()
    with pytest.raises(Stopped):
        make_run(Path(folder, 'run'), stop=3).train()  # of the second epoch, of two batches a rank
    make_run(Path(folder, 'run'), resume=True).train()
    Path(folder, f'rank{rank}').write_text(repr([whole, _numbers()]))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def _numbers() -> list[float]:
    """Return the next number of each generator."""
    return [random.random(), float(np.random.random()), float(torch.rand(()))]


@NO_CLOCK
def test_each_rank_goes_on_with_its_numbers(tmp_path):
    run_ranks(_rank, (str(tmp_path), str(tmp_path / 'meet')))
    for rank in range(2):
        whole, again = ast.literal_eval((tmp_path / f'rank{rank}').read_text())
        assert whole == again


def test_repair_stands_back_where_upstream_is_whole():
    assert not mmengine_resume.mend_resuming()
