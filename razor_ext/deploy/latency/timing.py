"""Latency of ONNX files under ONNX Runtime, measured side by side.

On a shared machine an absolute time says little. The files take turns, and what is compared is
the ratio within each turn, with its spread.
"""
from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..session import open_session, random_feed


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of a sample."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise `values`, at least one."""
        return cls(min(values), statistics.median(values), max(values))

    def scaled(self, factor: float) -> Spread:
        """Multiply all three by a positive `factor`."""
        return Spread(self.min * factor, self.median * factor, self.max * factor)

    def __format__(self, spec: str) -> str:
        return ' / '.join(format(value, spec) for value in (self.min, self.median, self.max))

    def as_dict(self) -> dict[str, float]:
        """The three values, for a JSON file."""
        return asdict(self)


def interleave(runners: Mapping[str, Callable[[], object]], rounds: int = 30, warmup: int = 3,
               timer: Callable[[], float] = time.perf_counter) -> dict[str, list[float]]:
    """Time several callables in turns; each turn starts with another one.

    Args:
        runners: Name and callable of each competitor.
        rounds: Number of turns, each with one call per runner.
        warmup: Calls of each runner before the first turn.
        timer: Clock in seconds.

    Returns:
        Seconds per name; entry `i` of every list comes from turn `i`.

    Raises:
        ValueError: If there is nothing to run, or no turn.
    """
    if not runners or rounds < 1:
        raise ValueError(f'nothing to time: {len(runners)} runners, {rounds} rounds')
    for run in runners.values():
        for _ in range(warmup):
            run()
    names = list(runners)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            start = timer()
            runners[name]()
            seconds[name].append(timer() - start)
    return seconds


def speedups(seconds: Mapping[str, Sequence[float]], baseline: str) -> dict[str, Spread]:
    """Ratios baseline / other within each turn (above 1: faster than the baseline).

    Args:
        seconds: Result of :func:`interleave`.
        baseline: Name the others are compared with.

    Returns:
        Spread of the ratios per name.
    """
    return {name: Spread.of([base / other for base, other in zip(seconds[baseline], values)])
            for name, values in seconds.items()}


def time_onnx(files: Mapping[str, str | os.PathLike | bytes], threads: int = 1, rounds: int = 30,
              warmup: int = 3, feed: Mapping[str, np.ndarray] | None = None,
              ) -> dict[str, list[float]]:
    """Time ONNX files in turns.

    Args:
        files: Name and file of each competitor.
        threads: Threads within an operator; 0 takes all cores.
        rounds: Number of turns.
        warmup: Untimed calls of each file.
        feed: Values of the inputs, common to all files; random ones if None.

    Returns:
        Seconds per name, see :func:`interleave`.
    """
    sessions = {name: open_session(path, threads) for name, path in files.items()}
    feeds = {name: dict(feed) if feed is not None else random_feed(session)
             for name, session in sessions.items()}

    def runner(name: str) -> Callable[[], object]:
        return lambda: sessions[name].run(None, feeds[name])

    return interleave({name: runner(name) for name in sessions}, rounds, warmup)
