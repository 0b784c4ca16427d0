"""Invariants of the choice of channels."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from razor_ext.algorithms.group_fisher.selection import Candidate, PruneSchedule, select_blocks

UNITS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 8)), min_size=1, max_size=6)


def _candidates(units: list[tuple[int, int]], divisor: int, seed: int) -> dict[str, Candidate]:
    rng = np.random.default_rng(seed)
    return {f'unit{i}': Candidate(np.sort(rng.random(width)), width, max(floor, divisor), divisor)
            for i, (width, floor) in enumerate(units)}


@pytest.mark.smoke
@given(units=UNITS, divisor=st.sampled_from([1, 2, 4, 8]), share=st.floats(0.05, 1.0),
       seed=st.integers(0, 99))
def test_counts_respect_floor_and_divisor(units: list, divisor: int, share: float,
                                          seed: int) -> None:
    candidates = _candidates(units, divisor, seed)
    total = sum(width for width, _ in units)
    taken = select_blocks(candidates, lambda counts: sum(counts.values()) <= share * total)
    for name, count in taken.items():
        left = candidates[name].active - count
        assert left >= candidates[name].floor
        assert left % divisor == 0
    left = total - sum(taken.values())
    met = left <= share * total
    at_floor = all(unit.next_block() is None for unit in candidates.values())
    assert met or at_floor


@given(units=UNITS, seed=st.integers(0, 99), number=st.integers(0, 60))
def test_single_channels_go_in_global_order(units: list, seed: int, number: int) -> None:
    """Without floors that bind, the k lowest scores of all units are taken."""
    candidates = _candidates([(width, 1) for width, _ in units], 1, seed)
    total = sum(width for width, _ in units)
    number = min(number, total - len(units))
    taken = select_blocks(candidates, lambda counts: sum(counts.values()) <= total - number)
    assert sum(taken.values()) == number
    gone = [score for name, count in taken.items() for score in candidates[name].scores[:count]]
    kept = [unit.scores[taken.get(name, 0)] for name, unit in candidates.items()
            if unit.active - taken.get(name, 0) > 1]
    assert not gone or not kept or max(gone) <= min(kept)


@given(width=st.integers(1, 64), divisor=st.sampled_from([1, 3, 8]), seed=st.integers(0, 9))
def test_smallest_is_where_pruning_ends(width: int, divisor: int, seed: int) -> None:
    unit = _candidates([(width, 1)], divisor, seed)['unit0']
    smallest = unit.smallest()
    select_blocks({'unit0': unit}, lambda counts: False)
    assert unit.active - unit.taken == smallest


@given(target=st.floats(0.05, 0.95), begin=st.floats(0, 0.4), end=st.floats(0.5, 1.0))
def test_schedule_falls_from_one_to_the_target(target: float, begin: float, end: float) -> None:
    schedule = PruneSchedule(target, begin, end)
    ratios = [schedule.ratio(progress) for progress in np.linspace(0, 1, 50)]
    assert ratios[0] == 1.0
    assert ratios[-1] == pytest.approx(target)
    assert all(a >= b for a, b in zip(ratios, ratios[1:]))


@pytest.mark.parametrize('kwargs, value', [
    (dict(target=1.2), '1.2'), (dict(target=0.0), '0.0'),
    (dict(target=0.5, begin=0.9, end=0.3), '0.9')])
def test_schedule_refuses_figures_out_of_range(kwargs: dict, value: str) -> None:
    with pytest.raises(ValueError, match=value):
        PruneSchedule(**kwargs)
