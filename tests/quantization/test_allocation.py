"""Bits at least loss within a budget, against every choice there is."""
from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from razor_ext.quantization import LayerCost, QuantConfigError
from razor_ext.quantization import allocation as module
from razor_ext.quantization.allocation import Choice, allocate, allocate_bits

CHOICE = st.builds(Choice, st.integers(0, 30).map(float), st.integers(0, 50).map(float))
GROUPS = st.lists(st.lists(CHOICE, min_size=1, max_size=4), min_size=1, max_size=5)


def totals(groups, chosen):
    taken = [group[number] for group, number in zip(groups, chosen)]
    return sum(choice.cost for choice in taken), sum(choice.loss for choice in taken)


@given(GROUPS, st.floats(0, 1))
def test_no_choice_within_the_budget_loses_less(groups, share):
    least = sum(min(choice.cost for choice in group) for group in groups)
    most = sum(max(choice.cost for choice in group) for group in groups)
    budget = least + share * (most - least)
    cost, loss = totals(groups, allocate(groups, budget))
    every = [totals(groups, numbers) for numbers in product(*(range(len(g)) for g in groups))]
    assert cost <= budget + 1e-6
    assert loss == min(lost for spent, lost in every if spent <= budget + 1e-9)


@settings(max_examples=30)
@given(st.lists(st.lists(CHOICE, min_size=1, max_size=4), min_size=3, max_size=8),
       st.floats(0.1, 1))
def test_a_thinned_search_keeps_the_budget_and_loses_little(groups, share):
    least = sum(min(choice.cost for choice in group) for group in groups)
    most = sum(max(choice.cost for choice in group) for group in groups)
    budget = least + share * (most - least)
    exact = totals(groups, allocate(groups, budget))[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, '_STATES', 48)
        cost, loss = totals(groups, allocate(groups, budget))
    assert cost <= budget + 1e-6
    assert loss <= exact + 0.15 * sum(max(c.loss for c in group) for group in groups)


def layer(name: str, macs: int, *sides: str | None) -> LayerCost:
    return LayerCost(name, 'Linear', [(macs, *sides)],
                     bits={side: torch.tensor(8.) for side in sides if side})


def test_widths_follow_sensitivity_against_cost():
    layers = [layer('cheap', 10, 'input', 'weight'), layer('dear', 1000, 'input', 'weight')]
    falling = {bits: 4.0 ** -bits for bits in (4, 6, 8)}
    losses = {(one.name, side): falling for one in layers for side in ('input', 'weight')}
    bits = allocate_bits(layers, losses, 10 * 64 + 1000 * 36)
    assert bits['cheap', 'input'] == bits['cheap', 'weight'] == 8
    assert bits['dear', 'input'] * bits['dear', 'weight'] <= 36
    # Activations that nothing depends on give their bits to the weights.
    losses['dear', 'input'] = dict.fromkeys(falling, 0.0)
    assert allocate_bits(layers, losses, 10 * 64 + 1000 * 32) == {
        ('cheap', 'input'): 8, ('cheap', 'weight'): 8, ('dear', 'input'): 4, ('dear', 'weight'): 8}


def test_products_of_activations_and_float_sides_cost_what_they_cost():
    layers = [LayerCost('attention', 'Gau', [(7, 'query', 'key'), (5, 'kernel', 'value')]),
              layer('half', 3, 'input', None), layer('other', 2, 'input', 'weight')]
    sides = [('attention', side) for side in ('query', 'key', 'kernel', 'value')]
    losses = {side: {4: 1.0, 8: 0.0} for side in [*sides, ('half', 'input')]}
    most = 7 * 64 + 5 * 64 + 3 * 8 * 32 + 2 * 64
    assert set(allocate_bits(layers, losses, most).values()) == {8}
    assert sorted(allocate_bits(layers, losses, most - 1).values()) == [4, 8, 8, 8, 8]
    with pytest.raises(QuantConfigError, match=r'fewer than the 704'):
        allocate_bits(layers, losses, 7 * 16 + 5 * 16 + 3 * 4 * 32 + 2 * 64 - 1)


def test_large_groups_share_a_width(monkeypatch):
    monkeypatch.setattr(module, '_CHOICES', 4)
    wide = LayerCost('shared', 'X', [(1, 'a', 'b'), (1, 'b', 'c')])
    losses = {('shared', side): {2: 1.0, 4: 0.0} for side in 'abc'}
    assert allocate_bits([wide], losses, 31) == dict.fromkeys(losses, 2)
    assert allocate_bits([wide], losses, 32) == dict.fromkeys(losses, 4)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match='no choice'):
        allocate([[]], 1)
    with pytest.raises(ValueError, match='cheapest choices cost 3'):
        allocate([[Choice(3, 0)]], 2)
