"""Stages and bit ranges as data."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from razor_ext.algorithms.geta import BitRange, Stages


@pytest.mark.smoke
@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.one_of(st.integers(-5, 100), st.floats(-.2, 1.2)),
       st.one_of(st.integers(0, 100), st.floats(0, 1)),
       st.one_of(st.integers(0, 100), st.floats(0, 1)),
       st.integers(0, 12), st.integers(0, 12))
def test_a_plan_is_whole_or_refused(total, warmup, projection, pruning, stairs, periods):
    try:
        plan = Stages(warmup, projection, pruning, stairs, periods).resolve(total)
    except ValueError as error:
        assert len(str(error)) > 20
        return
    names = [plan.stage(i) for i in range(total)]
    order = ['warmup', 'projection', 'joint', 'cooldown']
    assert names == sorted(names, key=order.index)
    assert names[-1] == 'cooldown'
    opened = [i for i in range(total) if plan.opens(i)]
    closed = [i for i in range(total) if plan.closes(i)]
    assert len(opened) == len(closed) == (periods if plan.pruning else 0)
    assert all(b - a == plan.period - 1 for a, b in zip(opened, closed))
    assert [plan.period_index(i) for i in opened] == list(range(len(opened)))
    climb = [plan.stair(i) for i in range(total)]
    assert climb == sorted(climb) and climb[-1] == plan.projection_periods
    if plan.projection:
        assert set(climb) >= set(range(1, stairs + 1))


@pytest.mark.parametrize(('stages', 'total', 'text'), [
    (Stages(10, 20, 30), 60, r'10 .* 20 .* 30 = 60 steps of 60'),
    (Stages(0.5, 0.3, 0.2), 100, '= 100 steps of 100'),
    (Stages(10, 3, 30, projection_periods=5), 99, 'projection lasts 3 steps but has 5 periods'),
    (Stages(10, 20, 5, pruning_periods=6), 99, 'pruning lasts 5 steps but has 6 periods'),
    (Stages(True), 99, 'warmup=True'), (Stages(-1), 99, 'negative'), (Stages(1.5), 99, r'\[0, 1\]'),
    (Stages(), 0, 'total_steps=0'),
])
def test_faulty_stages_name_their_numbers(stages, total, text):
    with pytest.raises(ValueError, match=text):
        stages.resolve(total)


def test_periods_are_validated():
    with pytest.raises(ValueError, match='pruning_periods=0'):
        Stages(pruning_periods=0)


@given(st.integers(2, 8), st.integers(0, 8), st.integers(0, 8), st.integers(1, 10))
def test_the_ceiling_descends_to_the_final_range_and_never_below(low, more, above, stairs):
    bits = BitRange(low, low + more, low + more + above)
    ceilings = [bits.ceiling(i, stairs) for i in range(stairs + 1)]
    assert ceilings[0] == bits.start_bits and ceilings[-1] == bits.max_bits
    assert ceilings == sorted(ceilings, reverse=True)
    steep = BitRange(low, low + more, low + more + above, reduction=8)
    assert min(steep.ceiling(i, 10) for i in range(11)) == bits.max_bits


@pytest.mark.parametrize('arguments', [
    (8, 4), (4, 8, 6), (1, 8), (4, 8, 32), (4.5, 8), (4, 8, 16, -1)])
def test_reversed_or_impossible_ranges_are_refused(arguments):
    with pytest.raises(ValueError, match=r'bits|reduction'):
        BitRange(*arguments)


def test_a_reduction_too_small_is_refused():
    with pytest.raises(ValueError, match='only to 12'):
        BitRange(4, 8, 16, reduction=1).ceiling(0, 4)
