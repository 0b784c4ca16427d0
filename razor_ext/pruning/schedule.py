"""When a run prunes, and how far it is on the way to its target."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PruneSchedule:
    """Pruning that proceeds linearly between two shares of a run.

    Args:
        begin: share of the run in [0, 1] at which pruning starts.
        end: share in [begin, 1] by which the target is met; the rest of the run recovers. Equal to
            `begin`, everything is pruned at once.
        interval: iterations between two prunings.

    Raises:
        ValueError: a figure is out of range.

    Example:
        >>> schedule = PruneSchedule(begin=0.0, end=0.5, interval=10)
        >>> [schedule.progress(iteration, 80) for iteration in (0, 10, 15, 39, 40)]
        [0.0, 0.25, None, 1.0, None]
    """
    begin: float = 0.0
    end: float = 0.8
    interval: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.end <= 1:
            raise ValueError('pruning must begin before it ends, within [0, 1]: got '
                             f'begin={self.begin}, end={self.end}')
        if isinstance(self.interval, bool) or not isinstance(self.interval, int) \
                or self.interval < 1:
            raise ValueError(f'interval must be at least 1 iteration, got {self.interval!r}')

    def last(self, max_iters: int) -> int:
        """Return the iteration, from 0, after which the target is met."""
        return max(int(self.end * max_iters) - 1, 0)

    def progress(self, iteration: int, max_iters: int) -> float | None:
        """Return the share of the way to the target after an iteration; None to prune nothing.

        Args:
            iteration: the iteration just done, from 0.
            max_iters: iterations of the run.
        """
        last = self.last(max_iters)
        if iteration == last:
            return 1.0
        if iteration > last or iteration % self.interval:
            return None
        if self.begin == self.end:
            return None
        done = (iteration / max_iters - self.begin) / (self.end - self.begin)
        return min(max(done, 0.0), 1.0)
