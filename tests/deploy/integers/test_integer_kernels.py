"""ONNX Runtime's integer convolution is exact.

Before 1.25 its AMX kernel computes wrong elements for 32 rows or more when the output channels
modulo 32 lie above 16 and are no multiple of 4: COCO's 17 keypoints, Halpe's 26.
"""
from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from razor_ext.deploy.session import open_session


def convolution(weight: np.ndarray, shape: tuple, zero_point: int, step: float) -> bytes:
    """Return a model of one QLinearConv, uint8 by int8, its output around 128."""
    constants = dict(sx=np.float32(1), zx=np.uint8(zero_point), w=weight, sw=np.float32(1),
                     zw=np.int8(0), sy=np.float32(step), zy=np.uint8(128))
    node = helper.make_node('QLinearConv', ['x', *constants], ['y'], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node], 'convolution', [helper.make_tensor_value_info('x', TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info('y', TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    model.ir_version = 8
    return model.SerializeToString()


@pytest.mark.parametrize('channels', [16, 17, 19, 22, 26, 31, 32, 50, 63, 64])
def test_convolution_is_exact(channels: int) -> None:
    random = np.random.default_rng(channels)
    x = random.integers(0, 256, (1, 24, 8, 6)).astype(np.uint8)
    weight = random.integers(-127, 128, (channels, 24, 3, 3)).astype(np.int8)
    padded = np.pad(x.astype(np.float64) - 100, [(0, 0), (0, 0), (1, 1), (1, 1)])
    total = F.conv2d(torch.from_numpy(padded), torch.from_numpy(weight.astype(np.float64))).numpy()
    step = float(np.float32(np.abs(total).max() / 120))
    session = open_session(convolution(weight, x.shape, 100, step), threads=1)
    got = session.run(None, {'x': x})[0]
    expected = np.clip(np.rint(total / step) + 128, 0, 255)
    # One step where the quotient lies at a half.
    assert np.abs(got.astype(float) - expected).max() <= 1
