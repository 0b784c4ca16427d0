"""Which groups to prune: exactly K of them, or until a cost is met, never breaking a divisor."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Union

import numpy as np

Divisor = Union[int, Mapping[str, int]]
Cost = Callable[[Mapping[str, int]], float]


class Chooser:
    """Chooses the groups of lowest score such that each unit keeps an allowed width.

    A unit keeps all its channels or a positive multiple of its divisor; a unit narrower than its
    divisor stays whole.

    Args:
        names: Unit names.
        sizes: Channels per unit.
        divisor: One number, or a table by unit name (missing units: 1).
        min_channels: Channels that every unit keeps at least.

    Raises:
        ValueError: A divisor or floor below 1, or a table that names no unit.
    """

    def __init__(self, names: Sequence[str], sizes: Sequence[int], divisor: Divisor = 1,
                 min_channels: int = 1) -> None:
        self.names, self.sizes = list(names), list(sizes)
        table = dict.fromkeys(names, divisor) if isinstance(divisor, int) else dict(divisor)
        unknown = sorted(set(table) - set(names))
        if unknown:
            raise ValueError(f'the divisor table names {unknown}, which are no units; units: '
                             f'{", ".join(names)}')
        divisors = [table.get(name, 1) for name in names]
        if min([*divisors, min_channels]) < 1:
            raise ValueError(f'divisor={divisor}, min_channels={min_channels}: at least 1 needed')
        self.starts = np.cumsum([0, *sizes])
        #: Allowed numbers of pruned channels per unit, ascending.
        self.options = []
        for size, step in zip(sizes, divisors):
            kept = np.arange(size // step * step, 0, -step)
            pruned = size - kept[kept >= min(min_channels, size)]
            self.options.append(np.unique(np.concatenate([[0], pruned])).astype(np.int64))

    @property
    def num_groups(self) -> int:
        """Groups of all units together."""
        return int(self.starts[-1])

    @property
    def most(self) -> int:
        """Most groups that can be pruned."""
        return int(sum(options[-1] for options in self.options))

    def nearest(self, wanted: int) -> tuple[int | None, int | None]:
        """Largest reachable count <= ``wanted`` and smallest >= it (None where there is none)."""
        reachable = 1
        for options in self.options:
            reachable = _or_all(reachable << int(n) for n in options)
        below = reachable & ((1 << (wanted + 1)) - 1)
        above = reachable >> wanted
        return (below.bit_length() - 1 if below else None,
                wanted + (above & -above).bit_length() - 1 if above else None)

    def keep_counts(self, pruned: np.ndarray) -> dict[str, int]:
        """Channels each unit keeps, from pruned groups bool [G]."""
        counts = np.add.reduceat(~pruned, self.starts[:-1]) if self.num_groups else []
        return {name: int(count) for name, count in zip(self.names, counts)}

    def _order(self, scores: np.ndarray, pruned: np.ndarray) -> list[np.ndarray]:
        """Group numbers per unit, pruned ones first, then by ascending score."""
        return [self.starts[u] + np.lexsort((part, ~gone))
                for u, (part, gone) in enumerate(zip(np.split(scores, self.starts[1:-1]),
                                                     np.split(pruned, self.starts[1:-1])))]

    def _chunks(self, scores: np.ndarray, pruned: np.ndarray,
                limits: np.ndarray | None = None) -> list[np.ndarray]:
        """Smallest allowed sets of groups in the order in which to prune them (ascending mean)."""
        chunks, means = [], []
        for u, order in enumerate(self._order(scores, pruned)):
            gone = int(pruned[order].sum())
            stops = self.options[u][self.options[u] > gone]
            if limits is not None:
                stops = stops[stops <= limits[u]]
            for start, stop in zip([gone, *stops[:-1]], stops):
                chunks.append(order[start:stop])
                means.append(scores[order[start:stop]].mean())
        return [chunks[i] for i in np.argsort(means, kind='stable')]

    def _final_counts(self, scores: np.ndarray, pruned: np.ndarray, total: int) -> np.ndarray:
        """Pruned channels per unit that sum to ``total`` with the least sum of scores."""
        best = np.full(total + 1, np.inf)
        best[0] = 0.
        choices = []
        for u, order in enumerate(self._order(scores, pruned)):
            sums = np.concatenate([[0.], np.cumsum(np.where(pruned[order], 0., scores[order]))])
            gone = int(pruned[order].sum())
            merged = np.full(total + 1, np.inf)
            choice = np.zeros(total + 1, dtype=np.int64)
            for count in self.options[u][(self.options[u] >= gone) & (self.options[u] <= total)]:
                trial = best[:total + 1 - count] + sums[count]
                better = trial < merged[count:]
                merged[count:][better] = trial[better]
                choice[count:][better] = count
            best = merged
            choices.append(choice)
        if not np.isfinite(best[total]):
            raise ValueError(f'{total} pruned groups cannot be reached from the ones pruned so far')
        counts = np.zeros(len(self.sizes), dtype=np.int64)
        for u in range(len(self.sizes) - 1, -1, -1):
            counts[u] = choices[u][total]
            total -= counts[u]
        return counts

    def choose_count(self, scores: np.ndarray, pruned: np.ndarray, final: int,
                     now: int) -> np.ndarray:
        """Choose groups so that ``now`` are pruned, and ``final`` can still be reached exactly.

        Args:
            scores: Float [G], low is pruned first.
            pruned: Bool [G], pruned earlier.
            final: Pruned groups at the end of the run.
            now: Pruned groups wanted now, earlier ones included; fewer where a divisor forbids it.

        Returns:
            Bool [G], the newly chosen groups.
        """
        limits = self._final_counts(scores, pruned, final)
        chosen = np.zeros_like(pruned)
        room = now - int(pruned.sum())
        for chunk in self._chunks(scores, pruned, limits):
            if len(chunk) > room:
                break
            chosen[chunk] = True
            room -= len(chunk)
        return chosen

    def relative(self, scores: np.ndarray, pruned: np.ndarray) -> np.ndarray:
        """Scores over the mean of what is left of their unit (float [G], both masks and scores)."""
        left = np.where(pruned, 0., scores)
        sums, counts = (np.add.reduceat(values, self.starts[:-1]) for values in (left, ~pruned))
        means = np.divide(sums, counts, out=np.ones_like(sums), where=(counts > 0) & (sums > 0))
        return scores / np.repeat(means, self.sizes)

    def savings(self, pruned: np.ndarray, cost: Cost) -> np.ndarray:
        """What one more pruned channel of each unit saves: the mean over its next allowed step.

        Args:
            pruned: Bool [G], pruned earlier.
            cost: Figure of a structure, from channels kept per unit.

        Returns:
            Float [G], the same for all groups of a unit; 0 for a unit at its floor.
        """
        counts = self.keep_counts(pruned)
        now, saved = cost(counts), np.zeros(self.num_groups)
        for u, (name, size) in enumerate(zip(self.names, self.sizes)):
            gone = size - counts[name]
            further = self.options[u][self.options[u] > gone]
            if further.size:
                left = {**counts, name: int(size - further[0])}
                saved[self.starts[u]:self.starts[u + 1]] = (now - cost(left)) / (further[0] - gone)
        return saved

    def choose_cost(self, scores: np.ndarray, pruned: np.ndarray, cost: Cost,
                    limit: float) -> np.ndarray:
        """Choose the fewest groups, in order of score, that bring the cost down to ``limit``.

        Those that turn out not to be needed, because a dearer one came after them, stay. The cost
        must not rise when channels go.

        Args:
            scores: Float [G], low is pruned first.
            pruned: Bool [G], pruned earlier.
            cost: Figure of a structure, from channels kept per unit.
            limit: Largest allowed cost.

        Raises:
            ValueError: The limit is not reached with every unit at its floor.
        """
        chunks = self._chunks(scores, pruned)

        def after(count: int) -> np.ndarray:
            mask = pruned.copy()
            for chunk in chunks[:count]:
                mask[chunk] = True
            return mask

        low, high = 0, len(chunks)
        lowest = cost(self.keep_counts(after(high)))
        if lowest > limit:
            raise ValueError(f'a cost of {limit:g} is beyond reach: with every unit at its floor '
                             f'{lowest:g} is left')
        while low < high:
            middle = (low + high) // 2
            if cost(self.keep_counts(after(middle))) <= limit:
                high = middle
            else:
                low = middle + 1
        return self._give_back(after(low), chunks[:low], cost, limit) & ~pruned

    def _give_back(self, mask: np.ndarray, chunks: Sequence[np.ndarray], cost: Cost,
                   limit: float) -> np.ndarray:
        """Unprune chunks, those of highest score first, while the cost stays within the limit."""
        full = set()
        for chunk in reversed(chunks):
            unit = int(np.searchsorted(self.starts, chunk[0], side='right')) - 1
            if unit in full:
                continue
            mask[chunk] = False
            if cost(self.keep_counts(mask)) > limit:
                mask[chunk] = True
                full.add(unit)
            if len(full) == len(self.sizes):
                break
        return mask


def _or_all(values) -> int:
    total = 0
    for value in values:
        total |= value
    return total


class SparsityTarget:
    """Prune exactly floor(G * min(ratio, 0.999)) groups.

    Args:
        ratio: Share of groups to prune.
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
        """Fix the number of groups.

        Raises:
            ValueError: The number cannot be reached; the nearest reachable ones are named.
        """
        wanted = int(chooser.num_groups * min(self.ratio, 0.999))
        below, above = chooser.nearest(wanted)
        if below != wanted and self.on_unreachable == 'error':
            figures = ' and '.join(f'{n} ({n / chooser.num_groups:.4f})'
                                   for n in (below, above) if n is not None)
            raise ValueError(
                f'{wanted} of {chooser.num_groups} groups (target_group_sparsity={self.ratio}) '
                'cannot be pruned exactly under the divisors and floors; nearest reachable: '
                f'{figures}, most: {chooser.most}. Change the target or divisor, or set '
                "on_unreachable='nearest'")
        near = [n for n in (below, above) if n is not None]
        self.total = min(near, key=lambda n: abs(n - wanted))

    def choose(self, chooser: Chooser, scores: np.ndarray, pruned: np.ndarray, period: int,
               periods: int) -> np.ndarray:
        """Choose the groups of one of the ``periods``; see :meth:`Chooser.choose_count`."""
        last = period == periods - 1
        now = self.total if last else self.total // periods * (period + 1)
        if self.per_unit:
            scores = chooser.relative(scores, pruned)
        return chooser.choose_count(scores, pruned, self.total, now)


class CostTarget:
    """Prune until a cost (MACs, BOPs, parameters, latency) is at most a share of the dense one.

    Groups go in the order of score per cost saved. By score alone, the many cheap channels of deep
    layers go first, and far more of them than the target needs.

    Args:
        ratio: Share of the dense cost that may be left.
        cost: Exact figure of a structure from channels kept per unit; must not rise when
            channels go.
        reference: Figure that ``ratio`` is a share of; None takes the whole structure's own.
        per_cost: False for the order of score alone.

    Raises:
        ValueError: A ratio outside (0, 1].
    """

    def __init__(self, ratio: float, cost: Cost, reference: float | None = None,
                 per_cost: bool = True) -> None:
        if not 0. < ratio <= 1.:
            raise ValueError(f'target ratio {ratio}: the share of the cost left lies in (0, 1]')
        self.ratio, self.cost, self.reference = ratio, cost, reference
        self.per_cost = per_cost

    def prepare(self, chooser: Chooser) -> None:
        """Measure the whole structure.

        Raises:
            ValueError: The target is beyond reach; the reachable ratio is named.
        """
        self.dense = self.cost(dict(zip(chooser.names, chooser.sizes)))
        reference = self.dense if self.reference is None else self.reference
        self.limit = self.ratio * reference
        floors = {name: int(size - options[-1]) for name, size, options in
                  zip(chooser.names, chooser.sizes, chooser.options)}
        least = self.cost(floors)
        if not math.isfinite(self.dense) or self.dense <= 0:
            raise ValueError(f'the dense cost is {self.dense}: nothing to reduce')
        if least > self.limit:
            raise ValueError(
                f'target ratio {self.ratio} is beyond reach: with every unit at its floor '
                f'{least / reference:.4f} of the dense cost ({least:g} of {reference:g}) is left')

    def choose(self, chooser: Chooser, scores: np.ndarray, pruned: np.ndarray, period: int,
               periods: int) -> np.ndarray:
        """Choose the groups of one of the ``periods``; see :meth:`Chooser.choose_cost`."""
        if period == periods - 1:
            now = self.limit
        else:
            now = self.dense - (self.dense - self.limit) * (period + 1) / periods
        if self.per_cost:
            saved = chooser.savings(pruned, self.cost)
            scores = np.divide(scores, saved, out=np.full(scores.shape, np.inf), where=saved > 0)
        return chooser.choose_cost(scores, pruned, self.cost, now)


Target = Union[SparsityTarget, CostTarget]
