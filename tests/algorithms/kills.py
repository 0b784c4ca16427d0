"""Kills runs, resumes them, and compares the result with that of a run that was not killed.

    python -m tests.algorithms.kills --kills 200

Every process is a fork of this one and ends by a real SIGKILL: after a random time, or while its
n-th file is written, when there is nothing of it yet, half, all, or all under its name.
"""
from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_geta import memoize_analysis

from razor_ext.compat import safe_load
from tests.families.site import install_toy
from tests.gait.gait_compression import plain_text

from .contract import Contract, assert_same_folder
from .settings import ALGORITHMS, FAMILIES

POINTS = ('nothing', 'half', 'all', 'renamed')
#: What is killed: algorithm, family, step.
STAGES = (('geta', 'toy', 'prune'), ('group_fisher', 'toy', 'prune'), ('geta', 'toy', 'finetune'),
          ('geta', 'pose', 'prune'), ('group_fisher', 'pose', 'prune'),
          ('geta', 'gaitbase', 'prune'), ('l1', 'gaitbase', 'finetune'))


@dataclass(frozen=True)
class Kill:
    """When a process is killed: while it writes its file number `write`, or after `seconds`."""

    write: int | None = None
    point: str = ''
    seconds: float = 0.0

    def __str__(self) -> str:
        return f'after {self.seconds:.2f} s' if self.write is None else (
            f'write {self.write}, {self.point}')


def _forked(body: Callable[[], None], kill: Kill | None = None) -> bool:
    """Run a function in a process of its own; return whether it was killed.

    Raises:
        AssertionError: it failed.
    """
    process = os.fork()
    if process == 0:
        status = 1
        try:
            if kill is not None and kill.write is not None:
                _arm(kill.write, kill.point)
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    if kill is not None and kill.write is None:
        time.sleep(kill.seconds)
        os.kill(process, signal.SIGKILL)
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert status == 0, f'the process ended with {status}'
    return False


def _arm(write: int, point: str) -> None:
    """Let this process die at a rename, as if it had come no further than `point`."""
    replace, count = os.replace, [write]

    def killing(source: str | Path, target: str | Path) -> None:
        count[0] -= 1
        if count[0] == 0:
            if point == 'renamed':
                replace(source, target)
            elif point != 'all':
                os.truncate(source, os.path.getsize(source) // 2 if point == 'half' else 0)
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = killing


class Stage:
    """A step of compression that is killed.

    Args:
        algorithm: row of `ALGORITHMS`.
        family: row of `FAMILIES`.
        step: 'prune' or 'finetune'.
        folder: for everything.
    """

    def __init__(self, algorithm: str, family: str, step: str, folder: Path) -> None:
        self.name = f'{algorithm} {family} {step}'
        self._contract = Contract(ALGORITHMS[algorithm], FAMILIES[family], folder)
        self._step = step
        folder.mkdir()
        _forked(lambda: FAMILIES[family].write(folder))
        self._contract.write_configs()
        if step == 'finetune':
            _forked(lambda: self._train('prune', 'prune'))
        began = time.monotonic()
        _forked(lambda: self._train(step, 'whole'))
        self.seconds = time.monotonic() - began
        self.whole = self._contract.work_dir('whole')

    def _train(self, step: str, run: str, resume: bool = False) -> None:
        cfg = self._contract.load(step, run, resume=resume)
        cfg.default_hooks.checkpoint.update(max_keep_ckpts=1, interval=2)
        cfg.experiment_name += f'.{os.getpid()}'
        Runner.from_cfg(cfg).train()

    def survive(self, kill: Kill) -> bool:
        """Kill a run, resume it, and check both; return whether it was killed before its end.

        Raises:
            AssertionError: something was lost.
        """
        work_dir = self._contract.work_dir('killed')
        shutil.rmtree(work_dir, ignore_errors=True)
        killed = _forked(lambda: self._train(self._step, 'killed'), kill)
        record = work_dir / 'last_checkpoint'
        if record.exists():
            assert safe_load(record.read_text())['meta']['iter'] > 0
        elif killed and kill.write is not None:
            assert kill.write <= 3, 'there was a checkpoint, and it is gone'
        _forked(lambda: self._train(self._step, 'killed', resume=True))
        assert_same_folder(work_dir, self.whole)
        left = [path.name for path in work_dir.rglob('.*') if path.name.endswith('.tmp')]
        # Only those remain that nothing has been written in the place of since.
        assert len(left) <= 1, left
        return killed


def plans(stage: Stage, count: int, rng: random.Random, writes: int) -> Iterator[Kill]:
    """Yield kills: three of four at a write, one after a random time."""
    for number in range(count):
        if number % 4 == 3:
            yield Kill(seconds=rng.uniform(0, 1.1 * stage.seconds))
        else:
            yield Kill(write=rng.randint(1, writes), point=POINTS[number % 3 + rng.randint(0, 1)])


def prepare(patch: pytest.MonkeyPatch) -> None:
    """Make runs quick: one thread, one analysis of each structure, configs unformatted."""
    torch.set_num_threads(1)
    memoize_analysis(patch.setattr)
    patch.setattr(Config, 'pretty_text', property(plain_text))


def main() -> None:
    """Print a table: stage, kills, of them before the end, seconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--kills', type=int, default=200, help='in all (default: 200)')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        prepare(patch)
        site = Path(folder, 'site')
        site.mkdir()
        with install_toy(site, patch):
            failures = 0
            for number, names in enumerate(STAGES):
                stage = Stage(*names, Path(folder, '-'.join(names)))
                share = args.kills // len(STAGES) + (number < args.kills % len(STAGES))
                counts: Counter = Counter()
                began = time.monotonic()
                for kill in plans(stage, share, rng, writes=24):
                    try:
                        counts['killed' if stage.survive(kill) else 'ended before'] += 1
                    except AssertionError as error:
                        counts['failed'] += 1
                        print(f'{stage.name}, {kill}: {error}', flush=True)
                failures += counts['failed']
                print(f'{stage.name:24} kills {counts["killed"]:4}  ended before '
                      f'{counts["ended before"]:3}  failed {counts["failed"]:3}  '
                      f'{time.monotonic() - began:6.0f} s', flush=True)
    sys.exit(failures > 0)


if __name__ == '__main__':
    main()
