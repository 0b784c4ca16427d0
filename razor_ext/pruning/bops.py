"""BOPs as a target, where bit widths change in the run as channels do."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .chooser import Chooser
from .costs import Bits, StructureCosts
from .targets import CostTarget


class BopsCost:
    """Bit operations of structures at the bit widths that were last asked for.

    Args:
        costs: counts the products of a structure.
        bits: returns the widths that the present ones lead to.
    """

    def __init__(self, costs: StructureCosts, bits: Callable[[], Bits]) -> None:
        self._costs, self._ask = costs, bits
        self.refresh()

    def refresh(self) -> None:
        """Ask for the bit widths anew."""
        self.bits: Bits = self._ask()

    def at(self, counts: Mapping[str, int], bits: Bits) -> float:
        """Return the figure of a structure at given widths."""
        return self._costs.summary(counts, bits)['bops']

    def __call__(self, counts: Mapping[str, int]) -> float:
        return self.at(counts, self.bits)


class BopsTarget(CostTarget):
    """Leave at most a share of the dense float model's bit operations.

    In each period channels go at the bit widths of the moment, an even part of what is still too
    much. What is left over when the last has closed is given to the bit widths.

    Args:
        ratio: share of the reference that may be left.
        cost: figure of a structure.
        reference: MACs of the dense model times 1024.
        fewest: the fewest bits of each quantized side.
        options: of `CostTarget`.
    """

    cost: BopsCost

    def __init__(self, ratio: float, cost: BopsCost, reference: float, fewest: Bits,
                 **options: Any) -> None:
        super().__init__(ratio, cost, reference, **options)
        self.fewest = fewest

    def least(self, chooser: Chooser) -> float:
        """Return the figure with every unit at its floor and every width at its fewest bits."""
        return self.cost.at(chooser.smallest, self.fewest)

    def choose(self, chooser: Chooser, scores: np.ndarray, pruned: np.ndarray, period: int,
               periods: int) -> np.ndarray:
        """Choose the channels of one of the ``periods``; see the base class."""
        self.cost.refresh()
        present = self.cost(chooser.structure(pruned))
        return self.choose_down_to(chooser, scores, pruned,
                                   present - (present - self.limit) / (periods - period))

    def choose_down_to(self, chooser: Chooser, scores: np.ndarray, pruned: np.ndarray,
                       now: float) -> np.ndarray:
        """Choose the channels that bring the cost down to ``now``; see the base class."""
        if self.cost(chooser.smallest) > now:  # channels alone cannot do it
            self.cost.bits = self.fewest
        return super().choose_down_to(chooser, scores, pruned, now)

    def check(self, chooser: Chooser, pruned: np.ndarray, kind: str) -> None:
        """Compare what a run has reached with the target; see the base class."""
        self.cost.refresh()
        super().check(chooser, pruned, kind)
