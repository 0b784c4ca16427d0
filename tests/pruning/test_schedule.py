"""When a run prunes, and how far it is on the way."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from razor_ext.algorithms.group_fisher_mmrazor.schedule import FlopsSchedule
from razor_ext.pruning import PruneSchedule


@pytest.mark.smoke
@given(begin=st.floats(0, 0.4), end=st.floats(0.5, 1.0), interval=st.integers(1, 20),
       iters=st.integers(2, 200))
def test_progress_rises_from_zero_and_ends_at_one(begin: float, end: float, interval: int,
                                                  iters: int) -> None:
    schedule = PruneSchedule(begin, end, interval)
    found = [schedule.progress(iteration, iters) for iteration in range(iters)]
    done = [value for value in found if value is not None]
    assert done == sorted(done) and done[-1] == 1.0 and found.index(1.0) <= schedule.last(iters)
    assert all(value is None for value in found[schedule.last(iters) + 1:])
    assert all(value == 0 for i, value in enumerate(found)
               if value is not None and i <= begin * iters and i != schedule.last(iters))


@given(share=st.floats(0, 1), iters=st.integers(1, 200))
def test_equal_begin_and_end_prune_at_once(share: float, iters: int) -> None:
    schedule = PruneSchedule(share, share, interval=1)
    found = [schedule.progress(iteration, iters) for iteration in range(iters)]
    assert [value for value in found if value is not None] == [1.0]


@pytest.mark.parametrize('kwargs, value', [
    (dict(begin=0.9, end=0.3), '0.9'), (dict(end=1.2), '1.2'), (dict(interval=0), '0')])
def test_schedule_refuses_figures_out_of_range(kwargs: dict, value: str) -> None:
    with pytest.raises(ValueError, match=value):
        PruneSchedule(**kwargs)


@given(target=st.floats(0.05, 0.95), begin=st.floats(0, 0.4), end=st.floats(0.5, 1.0))
def test_schedule_falls_from_one_to_the_target(target: float, begin: float, end: float) -> None:
    schedule = FlopsSchedule(target, begin, end)
    ratios = [schedule.ratio(progress) for progress in np.linspace(0, 1, 50)]
    assert ratios[0] == 1.0
    assert ratios[-1] == pytest.approx(target)
    assert all(a >= b for a, b in zip(ratios, ratios[1:]))


@pytest.mark.parametrize('kwargs, value', [
    (dict(target=1.2), '1.2'), (dict(target=0.0), '0.0'),
    (dict(target=0.5, begin=0.9, end=0.3), '0.9')])
def test_flops_schedule_refuses_figures_out_of_range(kwargs: dict, value: str) -> None:
    with pytest.raises(ValueError, match=value):
        FlopsSchedule(**kwargs)
