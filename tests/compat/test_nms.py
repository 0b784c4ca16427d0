"""Non-maximum suppression where mmcv comes without its compiled operators."""
from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import razor_ext  # noqa: F401
from razor_ext.compat.mmcv import nms, supply_nms
from razor_ext.deploy.session import open_session

from .test_imports import needs_lite


@pytest.fixture(scope='module')
def reference():
    """ONNX Runtime's operator, which mmcv's has in common with every exported detector."""
    names = ('boxes', 'scores', 'most', 'overlap')
    node = helper.make_node('NonMaxSuppression', names, ['kept'])
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64, TensorProto.FLOAT)
    graph = helper.make_graph(
        [node], 'nms', [helper.make_tensor_value_info(name, kind, shape)
                        for name, kind, shape in zip(names, kinds, (
            [1, None, 4], [1, 1, None], [1], [1]))],
        [helper.make_tensor_value_info('kept', TensorProto.INT64, [None, 3])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    session = open_session(model.SerializeToString(), threads=1)

    def run(boxes, scores, overlap):
        feed = dict(boxes=boxes[None], scores=scores[None, None], most=np.array([len(boxes)]),
                    overlap=np.array([overlap], np.float32))
        return session.run(None, feed)[0][:, 2]
    return run


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10 ** 6), count=st.integers(1, 90), overlap=st.floats(.1, .9),
       block=st.sampled_from([1, 7, 512]))
def test_the_boxes_left_are_those_of_onnxruntime(reference, seed, count, overlap, block):
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(1, 30, (count, 2))], 1)
    boxes = boxes.astype(np.float32)
    scores = generator.permutation(count).astype(np.float32) / count + .001
    left = nms(torch.from_numpy(boxes), torch.from_numpy(scores), overlap, block=block)
    assert left.tolist() == reference(boxes, scores, overlap).tolist()


@pytest.mark.smoke
def test_offset_and_no_boxes():
    boxes = torch.tensor([[0., 0., 9., 9.], [0., 0., 9., 4.]])
    scores = torch.tensor([.5, .9])
    assert nms(boxes, scores, .45).tolist() == [1, 0]  # 36 / 81
    assert nms(boxes, scores, .45, offset=1).tolist() == [1]  # 50 / 100
    assert nms(torch.zeros(0, 4), torch.zeros(0), .5).tolist() == []


@needs_lite
@pytest.mark.smoke
def test_mmcv_suppresses_within_a_class():
    from mmcv.ops import batched_nms

    boxes = torch.tensor([[0., 0., 9., 9.], [0., 0., 9., 8.], [0., 0., 9., 8.]])
    dets, left = batched_nms(boxes, torch.tensor([.9, .8, .7]), torch.tensor([0, 0, 1]),
                             dict(type='nms', iou_threshold=.5))
    assert left.tolist() == [0, 2] and dets.shape == (2, 5)


def test_nothing_of_it_is_traced():
    """An export records the operator around it; its steps would be tens of thousands of nodes."""
    class Left(torch.nn.Module):
        def forward(self, boxes):
            return boxes + nms(boxes, boxes[:, 0], .5).sum()

    boxes = torch.rand(50, 4).cumsum(1)
    graph = torch.jit.trace(Left(), boxes, check_trace=False).graph
    assert sum(1 for _ in graph.nodes()) < 20


@needs_lite
def test_the_fault_behind_it(run_repaired):
    result = run_repaired('''
import torch
from mmcv.ops import nms
nms(torch.zeros(1, 4), torch.ones(1), .5)
''', keep=('mmcv-ops', ))
    assert 'mmcv-lite has no compiled operators' in result.stderr


def test_a_compiled_operator_is_left_alone(monkeypatch):
    whole = types.ModuleType('mmcv._ext')
    whole.nms = object()
    operator = whole.nms
    monkeypatch.setitem(sys.modules, 'mmcv._ext', whole)
    assert not supply_nms() and whole.nms is operator
