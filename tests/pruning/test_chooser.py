"""Invariants of the choice of channels in the order of score alone, and of uniform structures."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from razor_ext.pruning import Chooser, CostTarget
from razor_ext.pruning.allocation import uniform_structure

UNITS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 8)), min_size=1, max_size=6)


def _chooser(units: list[tuple[int, int]], divisor: int) -> Chooser:
    names = [f'unit{i}' for i in range(len(units))]
    return Chooser(names, [width for width, _ in units], divisor,
                   {name: floor for name, (_, floor) in zip(names, units)})


def _scores(units: list[tuple[int, int]], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(sum(width for width, _ in units))


def _count(structure: dict[str, int]) -> float:
    return float(sum(structure.values()))


@pytest.mark.smoke
@given(units=UNITS, divisor=st.sampled_from([1, 2, 4, 8]), share=st.floats(0.05, 1.0),
       seed=st.integers(0, 99))
def test_counts_respect_floor_and_divisor(units: list, divisor: int, share: float,
                                          seed: int) -> None:
    chooser, scores = _chooser(units, divisor), _scores(units, seed)
    total = sum(width for width, _ in units)
    target = CostTarget(share, _count, per_cost=False, give_back=False)
    if _count(chooser.smallest) > share * total:
        with pytest.raises(ValueError, match='beyond reach'):
            target.prepare(chooser)
        return
    target.prepare(chooser)
    pruned = target.choose_at(chooser, scores, np.zeros(total, bool), 1.0)
    left = chooser.structure(pruned)
    for name, (width, floor) in zip(left, units):
        assert left[name] == width or (left[name] >= max(min(floor, width), divisor)
                                       and left[name] % divisor == 0)
    assert _count(left) <= share * total
    if pruned.any():  # one chunk fewer would not have been enough
        assert _count(left) + divisor > share * total


@given(units=UNITS, seed=st.integers(0, 99), number=st.integers(0, 60))
def test_single_channels_go_in_global_order(units: list, seed: int, number: int) -> None:
    """Without floors that bind, the k lowest scores of all units are taken."""
    units = [(width, 1) for width, _ in units]
    chooser, scores = _chooser(units, 1), _scores(units, seed)
    total = len(scores)
    number = min(number, total - len(units))
    pruned = np.zeros(total, bool)
    for _ in range(number):
        pruned |= chooser.choose_next(scores, pruned)
    assert pruned.sum() == number
    left = chooser.structure(pruned)
    kept = [scores[(np.arange(total) >= start) & (np.arange(total) < stop) & ~pruned].min()
            for name, start, stop in zip(chooser.names, chooser.starts, chooser.starts[1:])
            if left[name] > 1]
    assert not number or not kept or scores[pruned].max() <= min(kept)


@given(width=st.integers(1, 64), divisor=st.sampled_from([1, 3, 8]), seed=st.integers(0, 9))
def test_smallest_is_where_pruning_ends(width: int, divisor: int, seed: int) -> None:
    chooser, scores = _chooser([(width, 1)], divisor), _scores([(width, 1)], seed)
    pruned = np.zeros(width, bool)
    while (chosen := chooser.choose_next(scores, pruned)).any():
        pruned |= chosen
    assert chooser.structure(pruned) == chooser.smallest


@given(units=UNITS, divisor=st.sampled_from([1, 2, 4]), share=st.floats(0.05, 1.0))
def test_a_uniform_structure_is_allowed_and_within_the_limit(units: list, divisor: int,
                                                            share: float) -> None:
    chooser = _chooser(units, divisor)
    limit = share * sum(width for width, _ in units)
    if _count(chooser.smallest) > limit:
        with pytest.raises(ValueError, match='beyond reach'):
            uniform_structure(chooser, _count, limit)
        return
    found = uniform_structure(chooser, _count, limit)
    assert _count(found) <= limit
    for size, options, kept in zip(chooser.sizes, chooser.options, found.values()):
        assert size - kept in options


def test_uniform_keeps_the_same_share_of_every_unit() -> None:
    chooser = Chooser(['a', 'b', 'c'], [64, 32, 16])
    assert uniform_structure(chooser, _count, 56.) == {'a': 32, 'b': 16, 'c': 8}
    scores = np.arange(112.)
    chosen = chooser.choose_structure(scores, np.zeros(112, bool), {'a': 32, 'b': 16, 'c': 8})
    assert np.flatnonzero(chosen).tolist() == [*range(32), *range(64, 80), *range(96, 104)]
