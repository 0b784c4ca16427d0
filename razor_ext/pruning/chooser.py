"""Which channels to prune next, so that every unit keeps an allowed width."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Union

import numpy as np

Divisor = Union[int, Mapping[str, int]]
Cost = Callable[[Mapping[str, int]], float]


class Chooser:
    """Chooses the channels of lowest score such that each unit keeps an allowed width.

    A unit keeps all its channels or a positive multiple of its divisor; a unit narrower than its
    divisor stays whole.

    Args:
        names: Unit names.
        sizes: Channels per unit.
        divisor: One number, or a table by unit name (missing units: 1).
        min_channels: Channels that every unit keeps at least: one number, or a table by unit name.

    Raises:
        ValueError: A divisor or floor below 1, or a table that names no unit.
    """

    def __init__(self, names: Sequence[str], sizes: Sequence[int], divisor: Divisor = 1,
                 min_channels: Divisor = 1) -> None:
        self.names, self.sizes = list(names), list(sizes)
        table = dict.fromkeys(names, divisor) if isinstance(divisor, int) else dict(divisor)
        unknown = sorted(set(table) - set(names))
        if unknown:
            raise ValueError(f'the divisor table names {unknown}, which are no units; units: '
                             f'{", ".join(names)}')
        divisors = [table.get(name, 1) for name in names]
        floors = [min_channels] * len(names) if isinstance(min_channels, int) else [
            min_channels.get(name, 1) for name in names]
        if min([*divisors, *floors], default=1) < 1:
            raise ValueError(f'divisor={divisor}, min_channels={min_channels}: at least 1 needed')
        self.starts = np.cumsum([0, *sizes])
        #: Allowed numbers of pruned channels per unit, ascending.
        self.options = []
        for size, step, floor in zip(sizes, divisors, floors):
            kept = np.arange(size // step * step, 0, -step)
            pruned = size - kept[kept >= min(floor, size)]
            self.options.append(np.unique(np.concatenate([[0], pruned])).astype(np.int64))

    @property
    def total(self) -> int:
        """Channels of all units together."""
        return int(self.starts[-1])

    @property
    def smallest(self) -> dict[str, int]:
        """The structure with every unit at its floor."""
        return {name: int(size - options[-1])
                for name, size, options in zip(self.names, self.sizes, self.options)}

    @property
    def most(self) -> int:
        """Most channels that can be pruned."""
        return int(sum(options[-1] for options in self.options))

    def nearest(self, wanted: int) -> tuple[int | None, int | None]:
        """Largest reachable count <= ``wanted`` and smallest >= it (None where there is none).

        A subset-sum problem with one choice per unit: bit n of an integer says whether n channels
        can be pruned.
        """
        reachable = 1
        for options in self.options:
            reachable = _or_all(reachable << int(n) for n in options)
        below = reachable & ((1 << (wanted + 1)) - 1)
        above = reachable >> wanted
        return (below.bit_length() - 1 if below else None,
                wanted + (above & -above).bit_length() - 1 if above else None)

    def structure(self, pruned: np.ndarray) -> dict[str, int]:
        """Channels each unit keeps, from pruned channels bool [C]."""
        if not self.total:
            return {}
        counts = np.add.reduceat(~pruned, self.starts[:-1])
        return {name: int(count) for name, count in zip(self.names, counts)}

    def _order(self, scores: np.ndarray, pruned: np.ndarray) -> list[np.ndarray]:
        """Channel numbers per unit, pruned ones first, then by ascending score."""
        return [self.starts[u] + np.lexsort((part, ~gone))
                for u, (part, gone) in enumerate(zip(np.split(scores, self.starts[1:-1]),
                                                     np.split(pruned, self.starts[1:-1])))]

    def _chunks(self, scores: np.ndarray, pruned: np.ndarray,
                limits: np.ndarray | None = None) -> list[np.ndarray]:
        """Smallest allowed sets of channels, in the order to prune them (ascending mean score)."""
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
        """Pruned channels per unit that sum to ``total`` with the least sum of scores.

        A multiple-choice knapsack, solved by dynamic programming over the count: best[n] is the
        least sum of scores of n pruned channels of the units so far.
        """
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
            raise ValueError(f'{total} pruned channels cannot be reached from those pruned so far')
        counts = np.zeros(len(self.sizes), dtype=np.int64)
        for u in range(len(self.sizes) - 1, -1, -1):
            counts[u] = choices[u][total]
            total -= counts[u]
        return counts

    def choose_count(self, scores: np.ndarray, pruned: np.ndarray, final: int,
                     now: int) -> np.ndarray:
        """Choose channels so that ``now`` are pruned, and ``final`` can still be reached exactly.

        Args:
            scores: Float [C], low is pruned first.
            pruned: Bool [C], pruned earlier.
            final: Pruned channels at the end of the run.
            now: Pruned channels wanted now, earlier ones included; fewer where a divisor forbids
                it.

        Returns:
            Bool [C], the newly chosen channels.
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
        """Scores over the mean of what is left of their unit (float [C], both masks and scores)."""
        left = np.where(pruned, 0., scores)
        sums, counts = (np.add.reduceat(values, self.starts[:-1]) for values in (left, ~pruned))
        means = np.divide(sums, counts, out=np.ones_like(sums), where=(counts > 0) & (sums > 0))
        return scores / np.repeat(means, self.sizes)

    def savings(self, pruned: np.ndarray, cost: Cost) -> np.ndarray:
        """What one more pruned channel of each unit saves: the mean over its next allowed step.

        Args:
            pruned: Bool [C], pruned earlier.
            cost: Figure of a structure, from channels kept per unit.

        Returns:
            Float [C], the same for all channels of a unit; 0 for a unit at its floor.
        """
        counts = self.structure(pruned)
        now, saved = cost(counts), np.zeros(self.total)
        for u, (name, size) in enumerate(zip(self.names, self.sizes)):
            gone = size - counts[name]
            further = self.options[u][self.options[u] > gone]
            if further.size:
                left = {**counts, name: int(size - further[0])}
                saved[self.starts[u]:self.starts[u + 1]] = (now - cost(left)) / (further[0] - gone)
        return saved

    def choose_cost(self, scores: np.ndarray, pruned: np.ndarray, cost: Cost, limit: float,
                    give_back: bool = True) -> np.ndarray:
        """Choose the fewest channels, in order of score, that bring the cost down to ``limit``.

        The cost must not rise when channels go.

        Args:
            scores: Float [C], low is pruned first.
            pruned: Bool [C], pruned earlier.
            cost: Figure of a structure, from channels kept per unit.
            limit: Largest allowed cost.
            give_back: Whether channels stay that turn out not to be needed, because one that costs
                more came after them.

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
        lowest = cost(self.structure(after(high)))
        if lowest > limit:
            raise ValueError(f'a cost of {limit:g} is beyond reach: with every unit at its floor '
                             f'{lowest:g} is left')
        while low < high:
            middle = (low + high) // 2
            if cost(self.structure(after(middle))) <= limit:
                high = middle
            else:
                low = middle + 1
        mask = after(low)
        if give_back:
            mask = self._give_back(mask, chunks[:low], cost, limit)
        return mask & ~pruned

    def choose_next(self, scores: np.ndarray, pruned: np.ndarray) -> np.ndarray:
        """Choose the single allowed set of channels of lowest mean score; none at all floors."""
        chosen = np.zeros_like(pruned)
        for chunk in self._chunks(scores, pruned)[:1]:
            chosen[chunk] = True
        return chosen

    def choose_structure(self, scores: np.ndarray, pruned: np.ndarray,
                         structure: Mapping[str, int]) -> np.ndarray:
        """Choose the channels of lowest score of each unit that a structure does not keep.

        Args:
            scores: Float [C].
            pruned: Bool [C], pruned earlier.
            structure: Channels to keep by unit; a unit that has fewer left stays as it is.
        """
        chosen = np.zeros_like(pruned)
        for name, size, order in zip(self.names, self.sizes, self._order(scores, pruned)):
            chosen[order[:max(size - structure[name], 0)]] = True
        return chosen & ~pruned

    def _give_back(self, mask: np.ndarray, chunks: Sequence[np.ndarray], cost: Cost,
                   limit: float) -> np.ndarray:
        """Unprune chunks, those of highest score first, while the cost stays within the limit."""
        full = set()
        for chunk in reversed(chunks):
            unit = int(np.searchsorted(self.starts, chunk[0], side='right')) - 1
            if unit in full:
                continue
            mask[chunk] = False
            if cost(self.structure(mask)) > limit:
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
