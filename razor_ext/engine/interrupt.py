"""A run that is asked to stop saves a checkpoint, and says how to go on."""
from __future__ import annotations

import os
import shlex
import signal
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from razor_ext.atomic import write_bytes
from razor_ext.compat.mmengine_resume import add_run_state

#: Exit status of a run that was stopped and can go on (EX_TEMPFAIL of sysexits.h).
STOPPED = 75
#: Name of the checkpoint of a stopped run.
CHECKPOINT = 'interrupted.pth'
SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Seconds that a worker of a dataloader outlives SIGTERM, for the batches of the last iteration.
_GRACE = 10


class RunInterrupted(Exception):
    """The run was stopped by a signal, its checkpoint saved; the message says how to go on."""


class InterruptHook(Hook):
    """Ends a run after the iteration in which a rank got SIGTERM or SIGINT.

    All ranks end after the same iteration: each tells the others at every iteration whether it was
    asked to, and the answer is looked at one iteration later, so that none waits. A run that
    validates ends when that is over. A second signal ends the process as ever.

    Args:
        command: the command line of the run, for the message; None for this process's.
    """

    priority = 'LOWEST'

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self.command = list(sys.argv if command is None else command)
        self.signal = 0
        self._process = os.getpid()
        self._before: dict[int, Any] = {}
        self._group: Any = None
        self._flag = torch.zeros(1, dtype=torch.int32)
        self._pending: Any = None

    # ---- signals

    def watch(self) -> None:
        """Take the signals from here on."""
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._receive)

    def release(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        if os.getpid() != self._process:
            # A worker of a dataloader: the main process ends it, or the alarm.
            if number == signal.SIGTERM:
                signal.alarm(_GRACE)
            return
        if self.signal:
            self.release()
            os.kill(self._process, number)
            return
        self.signal = number
        os.write(2, f'\n{signal.Signals(number).name}: stopping after this iteration, with a '
                    'checkpoint; once more to stop at once\n'.encode())

    # ---- the run

    def before_train(self, runner: Runner) -> None:
        """Begin to watch."""
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            self._group = dist.new_group(backend='gloo')
        self.watch()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Save and stop, if any rank was asked to."""
        number = self._agreed()
        # At its end a run finishes: its result takes no longer than a checkpoint.
        if number and runner.iter + 1 < runner.max_iters:
            self._stop(runner, number, runner.iter + 1)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Save and stop after a validation within training."""
        if not self._before or runner.iter >= runner.max_iters:
            return
        if self._group is not None:  # what was told before the validation, and since
            self._agreed()
        number = self._agreed()
        if number:
            self._stop(runner, number, runner.iter)

    def after_train(self, runner: Runner) -> None:
        """End watching."""
        self.release()

    def _agreed(self) -> int:
        """Return the signal that some rank got; of several ranks, an iteration ago."""
        if self._group is None:
            return self.signal
        number = 0
        if self._pending is not None:
            self._pending.wait()
            number = int(self._flag)
        self._flag.fill_(self.signal)
        self._pending = dist.all_reduce(self._flag, dist.ReduceOp.MAX, self._group, async_op=True)
        return number

    def _stop(self, runner: Runner, number: int, iteration: int) -> None:
        self.release()
        path = _save(runner, iteration)
        name = signal.Signals(number).name
        message = (f'stopped by {name} after iteration {iteration} of {runner.max_iters}; the '
                   f'checkpoint is {path}. Go on with:\n  {resume_command(self.command)}')
        raise RunInterrupted(message)


def _save(runner: Runner, iteration: int) -> str:
    """Save a checkpoint from which the run goes on after an iteration; on all ranks."""
    out_dir = next((hook.out_dir for hook in runner.hooks if isinstance(hook, CheckpointHook)
                    and getattr(hook, 'out_dir', None)), runner.work_dir)
    meta = dict(epoch=runner.epoch, iter=iteration)
    add_run_state(runner, meta)
    runner.save_checkpoint(out_dir, CHECKPOINT, meta=meta, by_epoch=False)
    path = f'{out_dir.rstrip("/")}/{CHECKPOINT}'
    if is_main_process():
        write_bytes(Path(runner.work_dir, 'last_checkpoint'), path.encode())
    print_log(f'saved {path}', logger='current')
    return path


def resume_command(command: Sequence[str]) -> str:
    """Return the command line that resumes a run.

    Args:
        command: that of the run, from the script on.
    """
    rest, parts = list(command), []
    while rest:
        part = rest.pop(0)
        if part == '--resume':
            if rest and not rest[0].startswith('-'):
                rest.pop(0)
        elif not part.startswith(('--resume=', '--local-rank', '--local_rank')):
            parts.append(part)
    ranks = os.environ.get('LOCAL_WORLD_SIZE')
    launcher = ['python'] if ranks is None else ['torchrun', f'--nproc_per_node={ranks}']
    return shlex.join([*launcher, *parts, '--resume'])
