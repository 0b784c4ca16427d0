"""What a run says when a rank dies."""
from __future__ import annotations

import os
import signal
import types
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from ranks import NO_CLOCK, run_ranks

from razor_ext.engine import running
from razor_ext.engine.running import is_lost_connection
from tests.compat.tiny_run import make_run


class DieHook(Hook):
    """Kills this process before an iteration of the second epoch, or when all are done."""

    def __init__(self, late: bool) -> None:
        self.late = late

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 3 and not self.late:  # of two batches a rank
            os.kill(os.getpid(), signal.SIGKILL)

    def after_run(self, runner):
        if self.late:
            os.kill(os.getpid(), signal.SIGKILL)


def _rank(rank: int, folder: str, late: bool) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', f'file://{folder}/meet', rank=rank, world_size=2)
    run = make_run(Path(folder, 'run'))
    if rank == 1:
        run.register_hook(DieHook(late))
    Path(folder, f'process{rank}').write_text(str(os.getpid()))
    try:
        running.train(run)
    except SystemExit as ended:
        Path(folder, 'message').write_text(str(ended))
    os._exit(0)


@NO_CLOCK
@pytest.mark.parametrize('late', [False, True])
def test_the_rank_that_died_is_named(tmp_path: Path, late: bool) -> None:
    with pytest.raises(torch.multiprocessing.ProcessExitedException, match='SIGKILL'):
        run_ranks(_survivor_first, (str(tmp_path), late))
    message = (tmp_path / 'message').read_text()
    dead = (tmp_path / 'process1').read_text()
    assert f'rank 0: rank 1 (process {dead}) has died' in message
    assert 'The last checkpoint is' in message and f'epoch_{3 if late else 1}.pth' in message
    assert '--resume' in message


def _survivor_first(rank: int, folder: str, late: bool) -> None:
    """Run a rank as a child, so that the survivor is not ended before it has spoken."""
    child = os.fork()
    if child == 0:
        _rank(rank, folder, late)
    _, status = os.waitpid(child, 0)
    if rank == 1:
        while not Path(folder, 'message').exists():
            signal.sigtimedwait([], 0.1)
        os.kill(os.getpid(), os.WTERMSIG(status))


@pytest.mark.parametrize(('error', 'lost'), [
    (RuntimeError('[gloo/transport/tcp/pair.cc:534] Connection closed by peer'), True),
    (RuntimeError('recvValue failed on SocketImpl'), True),
    (RuntimeError('shape mismatch'), False), (ValueError('Connection'), False)])
def test_only_a_lost_connection_is_one(error: Exception, lost: bool) -> None:
    assert is_lost_connection(error) is lost


def test_a_process_that_has_ended_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    watch = types.SimpleNamespace(processes=[(running._machine(), os.getpid()),
                                             (running._machine(), child), ('elsewhere', 1)])
    while running._lives(child):  # a zombie, which nobody has waited for, has ended
        pass
    assert running.RankWatch.dead(watch) == [1]
    os.waitpid(child, 0)
