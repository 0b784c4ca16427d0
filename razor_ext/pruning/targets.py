"""What a run is to reach: so many pruned channels, or a cost."""
from __future__ import annotations

import math
from typing import Union

import numpy as np

from .allocation import uniform_structure
from .chooser import Chooser, Cost
from .errors import TargetMissedError

#: What to do about a missed target.
_MENDING = ('The checkpoints are kept: the run was stopped early (resume it), has diverged (lower '
            'the learning rate), or its optimizer or hook is not the one that prunes (train as the '
            'shipped prune configs do)')


class SparsityTarget:
    """Prune exactly floor(C * min(ratio, 0.999)) of all C channels.

    Args:
        ratio: Share of channels to prune.
        on_unreachable: What to do where divisors and floors forbid the exact number: ``'error'``,
            or ``'nearest'`` to take the nearest reachable number.
        per_unit: Compare scores relative to the mean of their unit. Raw ones (False, as published)
            are on another scale in every layer, and can empty one unit before they touch the next.

    Raises:
        ValueError: A ratio outside [0, 1], or an unknown ``on_unreachable``.
    """

    def __init__(self, ratio: float, on_unreachable: str = 'error',
                 per_unit: bool = True) -> None:
        if not 0. <= ratio <= 1.:
            raise ValueError(f'target_group_sparsity={ratio}: a share lies in [0, 1]')
        if on_unreachable not in ('error', 'nearest'):
            raise ValueError(f"on_unreachable={on_unreachable!r}: 'error' or 'nearest'")
        self.ratio, self.on_unreachable, self.per_unit = ratio, on_unreachable, per_unit

    def prepare(self, chooser: Chooser) -> None:
        """Fix the number of pruned channels.

        Raises:
            ValueError: The number cannot be reached; the nearest reachable ones are named.
        """
        wanted = int(chooser.total * min(self.ratio, 0.999))
        below, above = chooser.nearest(wanted)
        if below != wanted and self.on_unreachable == 'error':
            figures = ' and '.join(f'{n} ({n / chooser.total:.4f})'
                                   for n in (below, above) if n is not None)
            raise ValueError(
                f'{wanted} of {chooser.total} channels (target_group_sparsity={self.ratio}) '
                'cannot be pruned exactly under the divisors and floors; nearest reachable: '
                f'{figures}, most: {chooser.most}. Change the target or divisor, or set '
                "on_unreachable='nearest'")
        near = [n for n in (below, above) if n is not None]
        self.total = min(near, key=lambda n: abs(n - wanted))

    def choose(self, chooser: Chooser, scores: np.ndarray, pruned: np.ndarray, period: int,
               periods: int) -> np.ndarray:
        """Choose the channels of one of the ``periods``; see :meth:`Chooser.choose_count`."""
        last = period == periods - 1
        return self._choose(chooser, scores, pruned,
                            self.total if last else self.total // periods * (period + 1))

    def choose_at(self, chooser: Chooser, scores: np.ndarray, pruned: np.ndarray,
                  progress: float) -> np.ndarray:
        """Choose the channels at a share ``progress`` in [0, 1] of the way to the target."""
        return self._choose(chooser, scores, pruned, int(self.total * progress))

    def _choose(self, chooser: Chooser, scores: np.ndarray, pruned: np.ndarray, now: int
                ) -> np.ndarray:
        if self.per_unit:
            scores = chooser.relative(scores, pruned)
        return chooser.choose_count(scores, pruned, self.total, now)

    def check(self, chooser: Chooser, pruned: np.ndarray, kind: str) -> None:
        """Compare what a run has reached, bool [C], with the target.

        Raises:
            TargetMissedError: Another number is pruned.
        """
        reached = int(pruned.sum())
        if reached != self.total:
            raise TargetMissedError(
                f'{reached} of {chooser.total} channels are zero, {self.total} were asked for '
                f'({self.total - reached:+d}). {_MENDING}')


class CostTarget:
    """Prune until a cost (MACs, BOPs, parameters, latency) is at most a share of the dense one.

    Args:
        ratio: Share of the dense cost that may be left.
        cost: Exact figure of a structure from channels kept by unit; must not rise when
            channels go.
        reference: Figure that ``ratio`` is a share of; None takes the whole structure's own.
        per_cost: Prune in the order of score per cost saved. By score alone (False), the many
            cheap channels of deep layers go first, and far more of them than the target needs.
        give_back: Whether channels stay that turn out not to be needed.
        uniform: Keep the same share of every unit; scores decide within a unit only.

    Raises:
        ValueError: A ratio outside (0, 1].
    """

    def __init__(self, ratio: float, cost: Cost, reference: float | None = None,
                 per_cost: bool = True, give_back: bool = True, uniform: bool = False) -> None:
        if not 0. < ratio <= 1.:
            raise ValueError(f'target ratio {ratio}: the share of the cost left lies in (0, 1]')
        self.ratio, self.cost, self.reference = ratio, cost, reference
        self.per_cost, self.give_back, self.uniform = per_cost, give_back, uniform

    def prepare(self, chooser: Chooser) -> None:
        """Measure the whole structure.

        Raises:
            ValueError: The target is beyond reach; the reachable ratio is named.
        """
        self.dense = self.cost(dict(zip(chooser.names, chooser.sizes)))
        reference = self.dense if self.reference is None else self.reference
        self.limit = self.ratio * reference
        least = self.least(chooser)
        if not math.isfinite(self.dense) or self.dense <= 0:
            raise ValueError(f'the dense cost is {self.dense}: nothing to reduce')
        if least > self.limit:
            raise ValueError(
                f'target ratio {self.ratio} is beyond reach: with every unit at its floor '
                f'{least / reference:.4f} of the dense cost ({least:g} of {reference:g}) is left; '
                'raise the ratio, or lower divisor, min_channels or min_ratio')

    def least(self, chooser: Chooser) -> float:
        """Return the least figure that can be reached."""
        return self.cost(chooser.smallest)

    def choose(self, chooser: Chooser, scores: np.ndarray, pruned: np.ndarray, period: int,
               periods: int) -> np.ndarray:
        """Choose the channels of one of the ``periods``; see :meth:`Chooser.choose_cost`."""
        last = period == periods - 1
        return self.choose_at(chooser, scores, pruned, 1. if last else (period + 1) / periods)

    def choose_at(self, chooser: Chooser, scores: np.ndarray, pruned: np.ndarray,
                  progress: float) -> np.ndarray:
        """Choose the channels at a share ``progress`` in [0, 1] of the way to the target."""
        return self.choose_down_to(
            chooser, scores, pruned,
            self.limit if progress == 1 else self.dense - (self.dense - self.limit) * progress)

    def choose_down_to(self, chooser: Chooser, scores: np.ndarray, pruned: np.ndarray,
                       now: float) -> np.ndarray:
        """Choose the channels that bring the cost down to ``now``."""
        if self.uniform:
            return chooser.choose_structure(scores, pruned,
                                            uniform_structure(chooser, self.cost, now))
        if self.per_cost:
            saved = chooser.savings(pruned, self.cost)
            scores = np.divide(scores, saved, out=np.full(scores.shape, np.inf), where=saved > 0)
        return chooser.choose_cost(scores, pruned, self.cost, now, self.give_back)

    def check(self, chooser: Chooser, pruned: np.ndarray, kind: str) -> None:
        """Compare what a run has reached, bool [C], with the target.

        Raises:
            TargetMissedError: More than the target is left.
        """
        cost = self.cost(chooser.structure(pruned))
        if cost > self.limit:
            raise TargetMissedError(
                f'{cost:g} {kind} are left, {cost / self.limit - 1:.2%} more than the target ratio '
                f'{self.ratio} allows ({self.limit:g}). {_MENDING}')


Target = Union[SparsityTarget, CostTarget]
