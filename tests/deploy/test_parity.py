"""The comparison itself."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from razor_ext.deploy.parity import ParityError, compare, flatten_outputs, require


@pytest.mark.smoke
def test_worst_difference_over_all_inputs():
    reference = [[np.array([1.0, -4.0])], [np.array([2.0, 0.0])]]
    exported = [[np.array([1.0, -4.5])], [np.array([2.25, 0.0])]]
    (row,) = compare(['out'], reference, exported)
    assert (row.max_abs, row.max_rel, row.scale, row.error) == (0.5, 0.125, 4.0, 0.125)
    require([row], 0.125)
    with pytest.raises(ParityError, match=r"'out'.*0\.5.*--parity-threshold 0\.1 "):
        require([row], 0.1)


def test_small_outputs_are_judged_absolutely():
    (row,) = compare(['out'], [[np.array([1e-6])]], [[np.array([2e-6])]])
    assert row.max_rel == pytest.approx(1.0)
    assert row.error == pytest.approx(1e-6)


@pytest.mark.parametrize('exported, words', [
    ([[np.zeros(2), np.zeros(2)]], 'tensors'),
    ([[np.zeros((1, 2))]], r'\(1, 2\)'),
    ([[np.array([np.nan, 0.0])]], 'not finite'),
])
def test_incomparable_outputs(exported, words):
    with pytest.raises(ParityError, match=words):
        compare(['out'], [[np.zeros(2)]], exported)


def test_outputs_are_flattened_in_order():
    nested = {'a': torch.zeros(1), 'b': (torch.ones(1), [torch.full((1,), 2.0)])}
    assert [array.item() for array in flatten_outputs(nested)] == [0.0, 1.0, 2.0]
    with pytest.raises(ParityError, match='str'):
        flatten_outputs(['text'])
