"""A training from its start to the exit status, whatever ends it."""
from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch.distributed as dist
from mmengine.dist import all_gather_object, is_main_process
from mmengine.runner import Runner

from .interrupt import STOPPED, InterruptHook, RunInterrupted, resume_command
from .launch import leave_group
from .lock import folder_lock

#: What the messages of a lost connection have in common: gloo's, NCCL's and the store's.
_LOST = ('Connection', 'peer', 'gloo', 'NCCL', 'Broken pipe', 'recvValue', 'Socket')


class RankWatch:
    """Knows the process of each rank; to be made on all of them."""

    def __init__(self) -> None:
        self.processes: list[tuple[str, int]] = all_gather_object((_machine(), os.getpid()))

    def find_dead(self, patience: float = 2.0) -> list[int]:
        """Return the ranks on this machine whose process has ended.

        Args:
            patience: seconds to wait for one: connections close a moment before their process ends.
        """
        deadline = time.monotonic() + patience
        while not (dead := self.dead()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return dead

    def dead(self) -> list[int]:
        """Return the ranks on this machine whose process has ended by now."""
        return [rank for rank, (machine, process) in enumerate(self.processes)
                if machine == _machine() and not _lives(process)]


def _machine() -> str:
    return socket.gethostname()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
        state = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return process == os.getpid()
    except (OSError, IndexError):  # another user's, or a system without /proc
        return True
    return state not in ('Z', 'X')


def is_lost_connection(error: BaseException) -> bool:
    """Return whether an error says that ranks cannot reach each other."""
    if isinstance(error, getattr(dist, 'DistError', ())):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST)


def train(runner: Runner) -> None:
    """Train, and leave the process group.

    A signal ends the run with a checkpoint and the status `interrupt.STOPPED`.

    Raises:
        SystemExit: the run was stopped, or a rank died; with what to do about it.
        FolderInUseError: another run writes into the work directory.
    """
    watch = RankWatch()
    runner.register_hook(InterruptHook())
    lock = folder_lock(runner.work_dir, 'run') if is_main_process() else nullcontext()
    with lock:
        try:
            runner.train()
            leave_group()
        except RunInterrupted as stopped:
            if is_main_process():
                print(stopped, file=sys.stderr, flush=True)
            leave_group()
            raise SystemExit(STOPPED) from None
        except RuntimeError as error:
            if len(watch.processes) == 1 or not is_lost_connection(error):
                raise
            raise SystemExit(_describe(watch, runner, error)) from error


def _describe(watch: RankWatch, runner: Runner, error: RuntimeError) -> str:
    dead = [f'rank {rank} (process {watch.processes[rank][1]}) has died'
            for rank in watch.find_dead()]
    who = ', '.join(dead) or 'the connection to another rank is lost; its own output says why'
    record = Path(runner.work_dir, 'last_checkpoint')
    last = record.read_text(encoding='utf-8') if record.is_file() else None
    way = f'The last checkpoint is {last}. ' if last else 'There is no checkpoint yet. '
    return (f'rank {runner.rank}: {who}: {str(error).strip().splitlines()[0][:200]}\n{way}'
            f'Go on with:\n  {resume_command(sys.argv)}')
