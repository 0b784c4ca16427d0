"""Which channels to prune next: the cheapest blocks over all units, until a budget is met."""
from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class PruneSchedule:
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


@dataclass
class Candidate:
    """A unit in a selection.

    Args:
        scores: importance of the channels still active, ascending [active].
        active: number of active channels.
        floor: fewest channels that must stay.
        divisor: the count stays a multiple of it, once it has become one.
    """
    scores: np.ndarray
    active: int
    floor: int
    divisor: int = 1
    taken: int = field(default=0, init=False)

    def smallest(self) -> int:
        """Return the fewest channels that pruning can leave."""
        left = self.active
        while left - (left % self.divisor or self.divisor) >= self.floor:
            left -= left % self.divisor or self.divisor
        return left

    def next_block(self) -> tuple[float, int] | None:
        """Return (mean score, size) of the next block to prune; None at the floor."""
        left = self.active - self.taken
        size = left % self.divisor or self.divisor
        if left - size < self.floor:
            return None
        return float(self.scores[self.taken:self.taken + size].mean()), size


def select_blocks(candidates: Mapping[str, Candidate],
                  enough: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """Take the cheapest blocks of channels until a structure is small enough.

    Args:
        candidates: the units by name; their `taken` is updated.
        enough: whether the structure {name: channels left} needs no more pruning.

    Returns:
        {name: channels to prune} for the units that lose any. If every unit is at its floor the
        selection ends there, and `enough` still says no.
    """
    counts = {name: unit.active for name, unit in candidates.items()}
    heap = [(block[0], name) for name, unit in candidates.items()
            if (block := unit.next_block()) is not None]
    heapq.heapify(heap)
    while heap and not enough(counts):
        _, name = heapq.heappop(heap)
        unit = candidates[name]
        unit.taken += unit.next_block()[1]
        counts[name] = unit.active - unit.taken
        if (block := unit.next_block()) is not None:
            heapq.heappush(heap, (block[0], name))
    return {name: unit.taken for name, unit in candidates.items() if unit.taken}
