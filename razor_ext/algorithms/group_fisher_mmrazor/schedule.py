"""Share of the FLOPs to keep as training proceeds."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FlopsSchedule:
    """Share of the FLOPs to keep as a function of training progress.

    Args:
        target: share left at the end, in (0, 1).
        begin: progress in [0, 1) at which pruning starts.
        end: progress in (begin, 1] at which the target is met.

    Raises:
        ValueError: a figure is out of range.
    """
    target: float
    begin: float = 0.0
    end: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise ValueError(f'target_flop_ratio must lie in (0, 1), got {self.target}')
        if not 0 <= self.begin < self.end <= 1:
            raise ValueError('pruning must begin before it ends, within [0, 1]: got '
                             f'begin={self.begin}, end={self.end}')

    def ratio(self, progress: float) -> float:
        """Return the share of the FLOPs to keep at `progress` in [0, 1] (linear in between)."""
        done = (progress - self.begin) / (self.end - self.begin)
        return 1.0 - (1.0 - self.target) * min(max(done, 0.0), 1.0)
