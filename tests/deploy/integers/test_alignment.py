"""Filling up the channels of the first convolution."""
from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from razor_ext.deploy.counts import count_onnx
from razor_ext.deploy.integers.alignment import align_inputs, filled_channels
from razor_ext.deploy.integers.audit import count_operators, optimized_graph
from razor_ext.deploy.session import open_session


def two_convolutions(inputs: int, outputs: int, dims: int = 2, seed: int = 0) -> onnx.ModelProto:
    """Two integer convolutions; the first reads the quantized input of the graph."""
    generator = np.random.default_rng(seed)
    stored = {'s': np.float32(.05), 'z': np.uint8(generator.integers(1, 255)),
              'ws': np.float32(.01), 'wz': np.int8(0)}
    for name, shape in (('a', (outputs, inputs)), ('b', (6, outputs))):
        stored[name] = generator.integers(-127, 128, (*shape, *[3] * dims)).astype(np.int8)
    nodes, value = [], 'x'
    for name in 'ab':
        nodes += [
            helper.make_node('QuantizeLinear', [value, 's', 'z'], [f'{name}q']),
            helper.make_node('DequantizeLinear', [f'{name}q', 's', 'z'], [f'{name}f']),
            helper.make_node('DequantizeLinear', [name, 'ws', 'wz'], [f'{name}w']),
            helper.make_node('Conv', [f'{name}f', f'{name}w'], [f'{name}y'],
                             kernel_shape=[3] * dims, pads=[1] * 2 * dims)]
        value = f'{name}y'
    nodes += [helper.make_node('QuantizeLinear', [value, 's', 'z'], ['out']),
              helper.make_node('DequantizeLinear', ['out', 's', 'z'], ['y'])]
    graph = helper.make_graph(
        nodes, 'two', [helper.make_tensor_value_info('x', TensorProto.FLOAT,
                                                     ['n', inputs, *[7] * dims])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['n', 6, *[7] * dims])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.sampled_from([16, 24, 40]), st.sampled_from([2, 3]),
       st.integers(0, 2 ** 16))
def test_sums_stay(inputs, outputs, dims, seed):
    model = two_convolutions(inputs, outputs, dims, seed)
    aligned = align_inputs(model)
    onnx.checker.check_model(aligned)
    missing = -inputs % 4
    assert filled_channels(aligned) == ({'ay': missing} if missing else {})
    x = np.random.default_rng(seed).normal(size=(2, inputs, *[7] * dims)).astype(np.float32)
    before, after = (open_session(m.SerializeToString(), threads=1).run(None, {'x': x})[0]
                     for m in (model, aligned))
    np.testing.assert_array_equal(before, after)
    assert len(np.unique(before)) > 10
    assert count_operators(optimized_graph(aligned))['QLinearConv'] == 2


@pytest.mark.parametrize(('inputs', 'outputs'), [(4, 16), (3, 8), (1, 20)])
def test_left_alone(inputs, outputs):
    model = two_convolutions(inputs, outputs)
    assert align_inputs(model) == model


def test_zeros_are_no_operations(tmp_path):
    model = two_convolutions(3, 16)
    counts = []
    for name, graph in (('before', model), ('after', align_inputs(model))):
        onnx.save(graph, tmp_path / name)
        counts.append(count_onnx(tmp_path / name)['macs'])
    assert counts[0] == counts[1] == 49 * 9 * (3 * 16 + 16 * 6)
