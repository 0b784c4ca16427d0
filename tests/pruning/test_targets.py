"""Choosing groups: exact counts, divisors, floors, costs."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from razor_ext.pruning import Chooser, CostTarget, SparsityTarget


@st.composite
def problems(draw, most_units=6, most_channels=40):
    sizes = draw(st.lists(st.integers(1, most_channels), min_size=1, max_size=most_units))
    names = [f'conv{10 ** i}' for i in range(len(sizes))]
    divisor = draw(st.one_of(
        st.integers(1, 9),
        st.fixed_dictionaries({}, optional={n: st.integers(1, 9) for n in names})))
    scores = np.random.default_rng(draw(st.integers(0, 10 ** 6))).random(sum(sizes))
    return sizes, names, divisor, draw(st.integers(1, 3)), scores


def widths_allowed(chooser, kept, sizes, names, divisor, floor):
    for name, size in zip(names, sizes):
        step = divisor if isinstance(divisor, int) else divisor.get(name, 1)
        width = kept[name]
        assert width == size or (width % step == 0 and width >= max(step, min(floor, size)))


@pytest.mark.smoke
@settings(max_examples=150, deadline=None)
@given(problems(), st.floats(0, 1), st.integers(1, 5))
def test_exact_count_with_divisors_in_every_period(problem, ratio, periods):
    sizes, names, divisor, floor, scores = problem
    chooser = Chooser(names, sizes, divisor, floor)
    target = SparsityTarget(ratio, on_unreachable='nearest')
    target.prepare(chooser)
    wanted = int(sum(sizes) * min(ratio, 0.999))
    sums = {sum(p) for p in itertools.islice(itertools.product(
        *[o.tolist() for o in chooser.options]), 200_000)}
    if np.prod([len(o) for o in chooser.options]) <= 200_000:
        assert target.total in sums
        assert abs(target.total - wanted) == min(abs(s - wanted) for s in sums)
        if wanted not in sums:
            with pytest.raises(ValueError, match='nearest reachable'):
                SparsityTarget(ratio).prepare(chooser)
    pruned = np.zeros(sum(sizes), bool)
    for period in range(periods):
        chosen = target.choose(chooser, scores + 0.1 * period, pruned, period, periods)
        assert not (chosen & pruned).any()
        pruned = pruned | chosen
        widths_allowed(chooser, chooser.structure(pruned), sizes, names, divisor, floor)
    assert pruned.sum() == target.total


@settings(max_examples=60, deadline=None)
@given(problems(4, 12), st.floats(0, 1))
def test_least_total_score_of_all_ways(problem, ratio):
    sizes, names, divisor, floor, scores = problem
    chooser = Chooser(names, sizes, divisor, floor)
    target = SparsityTarget(ratio, on_unreachable='nearest', per_unit=False)
    target.prepare(chooser)
    pruned = np.zeros(len(scores), bool)
    chosen = target.choose(chooser, scores, pruned, 0, 1)
    per_unit = [np.sort(part) for part in np.split(scores, np.cumsum(sizes)[:-1])]
    best = min(sum(part[:n].sum() for part, n in zip(per_unit, counts))
               for counts in itertools.product(*chooser.options) if sum(counts) == target.total)
    assert scores[chosen].sum() == pytest.approx(best)


@settings(max_examples=60, deadline=None)
@given(problems(4, 12), st.lists(st.floats(1e-3, 1e3), min_size=12, max_size=12), st.integers(1, 4))
def test_scale_of_a_unit_does_not_matter(problem, factors, periods):
    sizes, names, divisor, floor, scores = problem
    chooser = Chooser(names, sizes, divisor, floor)
    scales = np.repeat(factors[:len(sizes)], sizes)
    kept = []
    for values in (1. + scores, (1. + scores) * scales):
        target = SparsityTarget(0.5, on_unreachable='nearest')
        target.prepare(chooser)
        pruned = np.zeros(len(scores), bool)
        for period in range(periods):
            pruned |= target.choose(chooser, np.round(chooser.relative(values, pruned), 9), pruned,
                                    period, periods)
        kept.append(chooser.structure(pruned))
    assert kept[0] == kept[1]


def test_a_unit_of_low_scores_is_emptied_only_on_request():
    scores = np.concatenate([np.linspace(1, 2, 8), np.linspace(10, 20, 8)])
    kept = {}
    for per_unit in (False, True):
        target, chooser = SparsityTarget(0.4, per_unit=per_unit), Chooser(['a', 'b'], [8, 8])
        target.prepare(chooser)
        pruned = target.choose(chooser, scores, np.zeros(16, bool), 0, 1)
        kept[per_unit] = chooser.structure(pruned)
    assert kept == {False: {'a': 2, 'b': 8}, True: {'a': 5, 'b': 5}}


@given(st.integers(0, 10 ** 6), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_without_divisor_it_is_the_global_top_k(seed, count):
    sizes = [20, 30, 14]
    scores = np.random.default_rng(seed).random(64)
    chooser = Chooser(['a', 'b', 'c'], sizes)
    chosen = chooser.choose_count(scores, np.zeros(64, bool), count, count)
    expected = np.zeros(64, bool)
    expected[np.argsort(scores)[:count]] = True
    if min(np.add.reduceat(~expected, [0, 20, 50])) >= 1:
        assert (chosen == expected).all()


def macs(keep):
    return float(3 * keep['conv1'] + keep['conv1'] * keep['conv10'] + 5 * keep['conv10'])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10 ** 6), st.floats(0.2, 1), st.sampled_from([1, 4]), st.integers(1, 4))
def test_cost_is_met_and_no_group_could_have_stayed(seed, ratio, divisor, periods):
    sizes, names = [32, 48], ['conv1', 'conv10']
    chooser = Chooser(names, sizes, divisor)
    target = CostTarget(ratio, macs)
    target.prepare(chooser)
    scores = np.random.default_rng(seed).random(80)
    pruned = np.zeros(80, bool)
    for period in range(periods):
        chosen = target.choose(chooser, scores, pruned, period, periods)
        pruned |= chosen
        limit = (1 - (1 - ratio) * (period + 1) / periods) * macs({'conv1': 32, 'conv10': 48})
        left = chooser.structure(pruned)
        assert macs(left) <= limit
        widths_allowed(chooser, left, sizes, names, divisor, 1)
    # The last chunk chosen was needed.
    if periods == 1 and chosen.any():
        slack = max(macs({**left, n: left[n] + divisor}) for n in names if left[n] < 48)
        assert slack > ratio * target.dense


@given(st.integers(0, 10 ** 6), st.sampled_from([1, 4]))
@settings(max_examples=30, deadline=None)
def test_order_is_by_score_per_cost_saved(seed, divisor):
    """With equal scores the dear channels go first, and what saves nothing stays."""
    def cost(keep):
        return 9. * keep['dear'] + keep['cheap'] + 1.

    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.uniform(.9, 1., 16), rng.uniform(.9, 1., 16), np.full(16, .1)])
    chooser = Chooser(['dear', 'cheap', 'free'], [16, 16, 16], divisor)
    left = {}
    for per_cost in (True, False):
        target = CostTarget(0.5, cost, per_cost=per_cost)
        target.prepare(chooser)
        chosen = target.choose(chooser, scores, np.zeros(48, bool), 0, 1)
        left[per_cost] = chooser.structure(chosen)
        assert cost(left[per_cost]) <= 0.5 * cost({'dear': 16, 'cheap': 16})
    assert left[True]['cheap'] == left[True]['free'] == 16 and left[True]['dear'] < 16
    assert left[False]['dear'] >= left[True]['dear'] and left[False]['free'] == 16


def test_errors_name_the_reachable_figure():
    chooser = Chooser(['a', 'b'], [8, 8], divisor=4)
    with pytest.raises(ValueError, match=r'most: 8'):
        SparsityTarget(0.9).prepare(chooser)
    with pytest.raises(ValueError, match=r'4 \(0\.2500\) and 8 \(0\.5000\)'):
        SparsityTarget(0.4).prepare(chooser)
    cost = CostTarget(0.1, lambda keep: float(sum(keep.values())))
    with pytest.raises(ValueError, match=r'0\.5000 of the dense cost'):
        cost.prepare(chooser)
    for bad in (lambda: SparsityTarget(1.5), lambda: SparsityTarget(0.5, 'ignore'),
                lambda: CostTarget(0., len), lambda: Chooser(['a'], [4], 0),
                lambda: Chooser(['conv1'], [4], {'conv10': 2})):
        with pytest.raises(ValueError):
            bad()
