"""Runs an algorithm for long, and looks at what must not grow.

    python -m tests.algorithms.long_run --iterations 20000

Over a tiny model of two convolutions; a line for each twentieth of the run.
"""
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .normed import odd_run

PARTS = 20
#: What may grow from the second fifth of a run to its last: resident memory, time of a step.
MOST_MEMORY, MOST_TIME = 8 << 20, 1.25


@dataclass(frozen=True)
class Sample:
    """What a process holds: bytes in memory, open files; and seconds of processor for a step."""

    memory: int
    handles: int
    step: float


class WatchHook(Hook):
    """Takes a sample after each part of a run.

    Args:
        every: iterations of a part.
    """

    priority = 'LOWEST'

    def __init__(self, every: int) -> None:
        self.every, self.samples = every, list[Sample]()

    def before_train(self, runner: Runner) -> None:
        self._since = time.process_time()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None,
                         outputs: object = None) -> None:
        if (runner.iter + 1) % self.every == 0:
            pages = int(Path('/proc/self/statm').read_text().split()[1])
            now = time.process_time()
            self.samples.append(Sample(pages * os.sysconf('SC_PAGE_SIZE'),
                                       len(os.listdir('/proc/self/fd')),
                                       (now - self._since) / self.every))
            self._since = now


def watch(algorithm: str, iterations: int, folder: Path) -> list[Sample]:
    """Return the samples of a run."""
    hook = WatchHook(iterations // PARTS)
    odd_run(algorithm, folder, hook, steps=iterations).train()
    return hook.samples


def faults(samples: list[Sample]) -> list[str]:
    """Return what has grown; the first fifth of a run is left out."""
    begun = samples[PARTS // 5:2 * PARTS // 5]
    ended = samples[-PARTS // 5:]
    found = []
    grown = min(s.memory for s in ended) - max(s.memory for s in begun)
    if grown > MOST_MEMORY:
        found.append(f'{grown >> 20} MiB of memory more')
    if min(s.handles for s in ended) > max(s.handles for s in begun):
        found.append(f'{ended[-1].handles - begun[0].handles} open files more')
    if min(s.step for s in ended) > MOST_TIME * max(s.step for s in begun):
        found.append(f'steps of {1e3 * ended[-1].step:.2f} ms after {1e3 * begun[0].step:.2f} ms')
    return found


def main() -> None:
    """Print the samples of a run of each algorithm."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--iterations', type=int, default=20_000)
    parser.add_argument('--algorithms', nargs='+', default=['geta', 'group_fisher'])
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for name in args.algorithms:
        with tempfile.TemporaryDirectory() as folder:
            samples = watch(name, args.iterations, Path(folder))
        for number, sample in enumerate(samples, 1):
            print(f'{name:14} {number * args.iterations // PARTS:7} iterations  '
                  f'{sample.memory / 2 ** 20:7.1f} MiB  {sample.handles:3} files  '
                  f'{1e3 * sample.step:6.2f} ms a step', flush=True)
        found += [f'{name}: {fault}' for fault in faults(samples)]
    print(*(found or ['nothing has grown']), sep='\n')
    sys.exit(bool(found))


if __name__ == '__main__':
    main()
