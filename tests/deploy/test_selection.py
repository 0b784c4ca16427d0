"""Detections are compared as sets: nearly equal scores may change places."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from razor_ext.deploy.errors import ParityError
from razor_ext.deploy.selection import (
    Selection,
    compare_detections,
    lowest_index_first,
    require_selection,
)


@pytest.fixture
def found():
    generator = np.random.default_rng(0)
    boxes = generator.uniform(0, 600, (1, 40, 4))
    scores = np.sort(generator.random((1, 40, 1)), 1)[:, ::-1]
    return [np.concatenate([boxes, scores], 2).astype(np.float32),
            generator.integers(0, 3, (1, 40))]


def test_order_and_filling_rows_do_not_count(found):
    dets, labels = found
    order = np.random.default_rng(1).permutation(40)
    filled = [np.concatenate([dets[:, order], np.zeros((1, 7, 5), np.float32)], 1),
              np.concatenate([labels[:, order], np.zeros((1, 7), np.int64)], 1)]
    assert compare_detections(found, filled, 640) == Selection(40, 0)


@pytest.mark.parametrize('change', ['corner', 'score', 'label', 'missing'])
def test_a_detection_that_differs_is_counted(found, change):
    dets, labels = (array.copy() for array in found)
    if change == 'corner':
        dets[0, 3, 2] += 2
    elif change == 'score':
        dets[0, 3, 4] -= .01
    elif change == 'label':
        labels[0, 3] += 1
    else:
        dets, labels = dets[:, 1:], labels[:, 1:]
    assert compare_detections(found, [dets, labels], 640) == Selection(40, 1)


def test_no_detection_at_all():
    nothing = [np.zeros((1, 1, 5), np.float32), np.zeros((1, 1), np.int64)]
    assert compare_detections(nothing, nothing, 640) == Selection(0, 0)


def test_more_than_rounding_explains_is_an_error():
    require_selection(Selection(10, 1))
    require_selection(Selection(300, 3))
    with pytest.raises(ParityError, match='4 of 300 detections'):
        require_selection(Selection(300, 4))


def test_equal_scores_are_chosen_by_their_index_as_in_onnx():
    scores = torch.randint(0, 4, (2, 525), generator=torch.Generator().manual_seed(0)).float()
    wanted = np.argsort(-scores.numpy(), 1, kind='stable')[:, :300]
    before = torch.topk, torch.Tensor.topk
    with lowest_index_first():
        found = scores.topk(torch.tensor(300)), torch.topk(scores, 300, dim=1)
    for values, indices in found:
        assert np.array_equal(indices, wanted)
        assert torch.equal(values, scores.gather(1, indices))
    assert (torch.topk, torch.Tensor.topk) == before
    assert not np.array_equal(scores.topk(300).indices, wanted), 'torch breaks ties so by itself'
