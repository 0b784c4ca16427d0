"""Which bit width each tensor gets: least loss within a budget of cost."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, Union

import numpy as np

from .accounting import FLOAT_BITS, LayerCost
from .errors import QuantConfigError

#: Partial choices kept while groups are joined; up to so many the result is the optimum.
_STATES = 4096
#: Choices of one group; sides of larger groups share a width.
_CHOICES = 1024

#: A quantized side: layer, and 'weight' or an operand.
Side = tuple[str, str]
#: One side of a product: a quantized one, or the width of another.
Factor = Union[Side, float]


class Choice(NamedTuple):
    """What one choice costs, and what is lost by it."""

    cost: float
    loss: float


def allocate(groups: Sequence[Sequence[Choice]], budget: float) -> list[int]:
    """Take one choice of every group at least total loss within a budget.

    A multiple-choice knapsack by dynamic programming over the undominated partial choices
    (Dudzinski and Walukiewicz, EJOR 1987), their costs exact. Where there are too many, the best of
    each of equal intervals of cost stays, which never exceeds the budget but may miss the optimum.

    Args:
        groups: choices of each group.
        budget: largest total cost.

    Returns:
        The number of the choice of each group.

    Raises:
        ValueError: a group has no choice, or the cheapest choices exceed the budget.

    Example:
        >>> eight, four = Choice(64, 0.1), Choice(16, 0.5)
        >>> allocate([[eight, four], [eight, Choice(16, 0.2)]], 80)
        [0, 1]
    """
    if not all(groups):
        raise ValueError('a group has no choice')
    least = sum(min(choice.cost for choice in group) for group in groups)
    if least > budget:
        raise ValueError(f'a budget of {budget:g} is beyond reach: the cheapest choices cost '
                         f'{least:g}')
    costs, losses = np.zeros(1), np.zeros(1)
    history: list[tuple[np.ndarray, np.ndarray]] = []
    left = least
    for group in groups:
        own = np.array(group, dtype=float)
        left -= own[:, 0].min()
        total = (costs[:, None] + own[:, 0]).ravel()
        lost = (losses[:, None] + own[:, 1]).ravel()
        # What is left costs something too; rounding must not exclude the cheapest choices.
        kept = _undominated(total, lost, budget - left + 1e-9 * abs(budget))
        history.append((kept // len(group), kept % len(group)))
        costs, losses = total[kept], lost[kept]
    state = int(np.argmin(losses))
    chosen = []
    for parents, choices in reversed(history):
        chosen.append(int(choices[state]))
        state = int(parents[state])
    return chosen[::-1]


def _undominated(costs: np.ndarray, losses: np.ndarray, limit: float) -> np.ndarray:
    """Return the numbers of the states that none other beats in both, cheapest first."""
    order = np.lexsort((losses, costs))
    order = order[costs[order] <= limit]
    best = np.minimum.accumulate(losses[order])
    first = np.concatenate([[True], losses[order][1:] < best[:-1]])
    order = order[first]
    if len(order) <= _STATES:
        return order
    low, high = costs[order[0]], costs[order[-1]]
    # Losses fall along the order: the last of an interval is its best. The cheapest stays too.
    interval = np.floor((costs[order] - low) / (high - low) * (_STATES - 2)).astype(int)
    last = np.concatenate([interval[1:] != interval[:-1], [True]])
    last[0] = True
    return order[last]


def allocate_bits(layers: Iterable[LayerCost], losses: Mapping[Side, Mapping[int, float]],
                  budget: float) -> dict[Side, int]:
    """Choose the width of every quantized side at least total loss within a budget of BOPs.

    BOPs are products of two widths: sides that are multiplied are chosen together, at the exact
    figure; losses add up.

    Args:
        layers: of `count_costs`; products of sides that are not named cost what they cost.
        losses: what is lost by each width of each side.
        budget: largest BOPs of all layers.

    Returns:
        The width of each side of `losses`.

    Raises:
        QuantConfigError: the budget is below what the fewest bits cost.
    """
    products = [(macs, _factor(layer, left, losses), _factor(layer, right, losses))
                for layer in layers for macs, left, right in layer.products]
    groups = _joined(losses, [factors for _, *factors in products])
    home = {side: number for number, group in enumerate(groups) for side in group}
    inside: list[list[tuple[int, Factor, Factor]]] = [[] for _ in groups]
    fixed = 0.0
    for macs, left, right in products:
        side = next((factor for factor in (left, right) if isinstance(factor, tuple)), None)
        if side is None:
            fixed += macs * _value(left, {}) * _value(right, {})
        else:
            inside[home[side]].append((macs, left, right))
    widths = [_widths(group, losses) for group in groups]
    choices = [[Choice(sum(macs * _value(left, bits) * _value(right, bits)
                           for macs, left, right in own),
                       sum(losses[side][width] for side, width in bits.items()))
                for bits in options] for own, options in zip(inside, widths)]
    try:
        chosen = allocate(choices, budget - fixed)
    except ValueError as error:
        least = fixed + sum(min(choice.cost for choice in group) for group in choices)
        raise QuantConfigError(f'{budget:.4g} BOPs are fewer than the {least:.4g} that the fewest '
                               'bits of all layers cost: allow fewer bits, or more BOPs') from error
    return {side: width for options, number in zip(widths, chosen)
            for side, width in options[number].items()}


def _factor(layer: LayerCost, side: str | None, losses: Mapping[Side, Any]) -> Factor:
    """Return the side of a product where its width is chosen, else its width."""
    if side is not None and (layer.name, side) in losses:
        return layer.name, side
    bits = None if side is None else layer.bits.get(side)
    return float(FLOAT_BITS if bits is None else bits)


def _value(factor: Factor, bits: Mapping[Side, int]) -> float:
    return float(bits[factor]) if isinstance(factor, tuple) else factor


def _joined(sides: Iterable[Side], pairs: Iterable[Sequence[Factor]]) -> list[list[Side]]:
    """Return the sides in groups, multiplied ones together."""
    groups = {side: [side] for side in sides}
    for left, right in pairs:
        if isinstance(left, tuple) and isinstance(right, tuple) \
                and groups[left] is not groups[right]:
            merged = groups[left] + groups[right]
            groups.update(dict.fromkeys(merged, merged))
    return list({id(group): group for group in groups.values()}.values())


def _widths(group: Sequence[Side], losses: Mapping[Side, Mapping[int, float]]
            ) -> list[dict[Side, int]]:
    own = [sorted(losses[side]) for side in group]
    if np.prod([float(len(widths)) for widths in own]) <= _CHOICES:
        return [dict(zip(group, widths)) for widths in product(*own)]
    shared = sorted(set.intersection(*map(set, own)))
    if not shared:
        raise QuantConfigError(f'{", ".join(map(".".join, group))} are multiplied by one another '
                               'and have no width in common')
    return [dict.fromkeys(group, width) for width in shared]
