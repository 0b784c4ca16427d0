"""Kills runs, resumes them, and compares the result with that of a run that was not killed.

    python -m tests.algorithms.kills --kills 200

Every process is a fork of this one and ends by a real SIGKILL: after a random time, or while its
n-th file is written, when there is nothing of it yet, half, all, or all under its name. Of two
ranks one is killed, and the other has to end by itself.
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
from mmengine.registry import MODELS, init_default_scope
from ranks import work_of
from tiny_geta import quicken

from razor_ext.compat import safe_load
from razor_ext.engine import running
from razor_ext.engine.launch import build_runner
from tests.families.site import install_toy

from .contract import Contract, assert_same_folder
from .settings import ALGORITHMS, FAMILIES

POINTS = ('nothing', 'half', 'all', 'renamed')
#: What is killed: algorithm, family, step, ranks.
STAGES = (('geta', 'toy', 'prune', 1), ('group_fisher', 'toy', 'prune', 1),
          ('geta', 'toy', 'finetune', 1), ('geta', 'toy', 'prune', 2),
          ('geta', 'pose', 'prune', 1), ('group_fisher', 'pose', 'prune', 1),
          ('geta', 'pose', 'finetune', 1), ('geta', 'pose', 'prune', 2),
          ('geta', 'gaitbase', 'prune', 1), ('group_fisher', 'gaitbase', 'prune', 1),
          ('geta', 'gaitbase', 'finetune', 1), ('geta', 'gaitbase', 'prune', 2),
          ('group_fisher', 'gaitbase', 'prune', 2), ('l1', 'gaitbase', 'finetune', 2))
#: Files of the compressed folder, the last that a run writes.
EXPORT = 5
#: Seconds without any work after which what is left of a run hangs.
STALL = 60


@dataclass(frozen=True)
class Kill:
    """When a process is killed: while it writes its file number `write`, or after `seconds`."""

    write: int | None = None
    point: str = ''
    seconds: float = 0.0
    rank: int = 0

    def __str__(self) -> str:
        when = f'after {self.seconds:.2f} s' if self.write is None else (
            f'write {self.write}, {self.point}')
        return f'rank {self.rank}, {when}'


def _forked(body: Callable[[int], None], ranks: int = 1, kill: Kill | None = None) -> bool:
    """Run `body(rank)` in a process for each rank; return whether one was killed.

    Raises:
        AssertionError: one failed, though none was killed, or one hangs.
    """
    processes = [_fork(body, rank, kill) for rank in range(ranks)]
    if kill is not None and kill.write is None:
        time.sleep(kill.seconds)
        os.kill(processes[kill.rank], signal.SIGKILL)
    statuses = _wait(processes)
    killed = kill is not None and statuses[kill.rank] == -signal.SIGKILL
    assert killed or not any(statuses), f'the ranks ended with {statuses}'
    return killed


def _fork(body: Callable[[int], None], rank: int, kill: Kill | None) -> int:
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if kill is not None and kill.write is not None and kill.rank == rank:
            _arm(kill.write, kill.point)
        body(rank)
        status = 0
    except SystemExit as ended:  # says that another rank has died
        status = 3 if isinstance(ended.code, str) else ended.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _wait(processes: list[int]) -> list[int]:
    """Return how each process has ended; they are waited for as long as they do something."""
    statuses: dict[int, int] = {}
    spent, since = -1.0, time.monotonic()
    while len(statuses) < len(processes):
        for process in processes:
            if process not in statuses and os.waitid(
                    os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                statuses[process] = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        now = sum(work_of(process) for process in processes)
        if now > spent:
            spent, since = now, time.monotonic()
        if time.monotonic() - since > STALL:
            for process in set(processes) - set(statuses):
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
            raise AssertionError(f'no rank has worked for {STALL} seconds')
        time.sleep(0.01)
    return [statuses[process] for process in processes]


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


def _count_writes(path: Path) -> None:
    """Keep a file as long as the number of renames of this process."""
    replace = os.replace

    def counting(source: str | Path, target: str | Path) -> None:
        with path.open('ab') as file:
            file.write(b'.')
        replace(source, target)

    os.replace = counting


class Stage:
    """A step of compression that is killed.

    Args:
        algorithm: row of `ALGORITHMS`.
        family: row of `FAMILIES`.
        step: 'prune' or 'finetune'.
        ranks: processes of a run.
        folder: for everything.
    """

    def __init__(self, algorithm: str, family: str, step: str, ranks: int, folder: Path) -> None:
        self.name = f'{algorithm} {family} {step} x{ranks}'
        self._contract = Contract(ALGORITHMS[algorithm], FAMILIES[family], folder)
        self._step, self.ranks, self._folder, self._runs = step, ranks, folder, 0
        folder.mkdir()
        _forked(lambda rank: FAMILIES[family].write(folder))
        self._contract.write_configs()
        cfg = self._contract.load('prune')
        init_default_scope(cfg.default_scope)
        MODELS.build(cfg.model)  # analysed once, before there are forks
        if step == 'finetune':
            _forked(lambda rank: self._train('prune', 'prune', rank, 1))
        counted = folder / 'writes'
        began = time.monotonic()
        _forked(lambda rank: self._train(step, 'whole', rank, ranks, counted), ranks)
        self.seconds = time.monotonic() - began
        self.writes = counted.stat().st_size
        self.whole = self._contract.work_dir('whole')

    def _train(self, step: str, run: str, rank: int, ranks: int, counted: Path | None = None,
               resume: bool = False) -> None:
        cfg = self._contract.load(step, run, resume=resume)
        cfg.default_hooks.checkpoint.update(max_keep_ckpts=1, interval=2)
        cfg.experiment_name += f'.{os.getpid()}'
        cfg.launcher = 'none' if ranks == 1 else 'pytorch'
        if ranks > 1:
            os.environ['LOCAL_RANK'] = str(rank)
            meeting = self._folder / f'meeting{self._runs}'
            torch.distributed.init_process_group('gloo', f'file://{meeting}', rank=rank,
                                                 world_size=ranks)
        if counted is not None and rank == 0:
            _count_writes(counted)
        running.train(build_runner(cfg))

    def survive(self, kill: Kill) -> bool:
        """Kill a run, resume it, and check both; return whether it was killed before its end.

        Raises:
            AssertionError: something was lost.
        """
        work_dir = self._contract.work_dir('killed')
        shutil.rmtree(work_dir, ignore_errors=True)
        killed = self._run(kill)
        record = work_dir / 'last_checkpoint'
        if record.exists():
            assert safe_load(record.read_text())['meta']['iter'] > 0
        elif killed and kill.write is not None:
            assert kill.write <= 3, 'there was a checkpoint, and it is gone'
        self._run(None)
        assert_same_folder(work_dir, self.whole)
        left = [path.name for path in work_dir.rglob('.*') if path.name.endswith('.tmp')]
        # Only those remain that nothing has been written in the place of since.
        assert len(left) <= 1, left
        return killed

    def _run(self, kill: Kill | None) -> bool:
        """Begin a run that is killed, or resume it."""
        self._runs += 1
        return _forked(lambda rank: self._train(
            self._step, 'killed', rank, self.ranks, resume=kill is None), self.ranks, kill)


def plans(stage: Stage, count: int, rng: random.Random) -> Iterator[Kill]:
    """Yield kills: half of them at any write, a quarter in the export, one after a random time."""
    for number in range(count):
        if number % 4 == 3:
            yield Kill(seconds=rng.uniform(0, 1.1 * stage.seconds),
                       rank=rng.randrange(stage.ranks))
        else:
            first = 1 if number % 4 else stage.writes - EXPORT + 1
            yield Kill(rng.randint(first, stage.writes), rng.choice(POINTS))


def main() -> None:
    """Print a table: stage, kills, of them before the end, seconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--kills', type=int, default=200, help='in all (default: 200)')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        quicken(patch)
        site = Path(folder, 'site')
        site.mkdir()
        with install_toy(site, patch):
            failures = 0
            for number, names in enumerate(STAGES):
                stage = Stage(*names, Path(folder, '-'.join(map(str, names))))
                share = args.kills // len(STAGES) + (number < args.kills % len(STAGES))
                counts: Counter = Counter()
                began = time.monotonic()
                for kill in plans(stage, share, rng):
                    try:
                        counts['killed' if stage.survive(kill) else 'ended before'] += 1
                    except (AssertionError, RuntimeError, OSError) as error:
                        counts['failed'] += 1
                        print(f'{stage.name}, {kill}: {error}', flush=True)
                failures += counts['failed']
                print(f'{stage.name:34} kills {counts["killed"]:4}  ended before '
                      f'{counts["ended before"]:3}  failed {counts["failed"]:3}  '
                      f'writes {stage.writes:3}  {time.monotonic() - began:6.0f} s', flush=True)
    sys.exit(failures > 0)


if __name__ == '__main__':
    main()
