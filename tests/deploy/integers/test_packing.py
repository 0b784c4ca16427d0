"""Weights of four bits, two to a byte."""
from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.integers.audit import audit, count_operators, optimized_graph
from razor_ext.deploy.integers.grids import layer_grids
from razor_ext.deploy.integers.packing import SMALLEST, pack_int4, raise_opset
from razor_ext.deploy.integers.qdq import insert_qdq
from razor_ext.deploy.session import open_session
from razor_ext.quantization import QuantConfig

from ..small_net import export, feeds, float_net, quantized_net


def layer(weight: np.ndarray) -> onnx.ModelProto:
    """A product with an int8 weight."""
    rows, columns = weight.shape
    nodes = [helper.make_node('DequantizeLinear', ['w', 's', 'z'], ['wf']),
             helper.make_node('MatMul', ['x', 'wf'], ['y'])]
    stored = {'w': weight.astype(np.int8), 's': np.float32(0.5), 'z': np.int8(0)}
    graph = helper.make_graph(
        nodes, 'layer', [helper.make_tensor_value_info('x', TensorProto.FLOAT, [2, rows])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [2, columns])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 21)], ir_version=10)


@settings(max_examples=30, deadline=None)
@given(st.integers(16, 40), st.integers(33, 45), st.sampled_from([1, 2, 4, 16]),
       st.integers(0, 2 ** 16))
def test_stored_integers_come_back(rows, columns, factor, seed):
    integers = np.random.default_rng(seed).integers(-7, 8, (rows, columns)) * factor
    integers[0, 0] = 7 * factor
    packed = pack_int4(layer(integers))
    assert packed.names == ('w',)
    graph = packed.model.graph
    (stored,) = (item for item in graph.initializer if item.data_type == TensorProto.INT4)
    assert len(stored.raw_data) == -(-integers.size // 2)
    graph.output.append(helper.make_tensor_value_info('w', TensorProto.INT8, integers.shape))
    x = np.ones((2, rows), np.float32)
    y, found = open_session(packed.model.SerializeToString(), threads=1).run(['y', 'w'], {'x': x})
    np.testing.assert_array_equal(found, integers)
    np.testing.assert_array_equal(y[0], integers.sum(0) * np.float32(0.5))


@pytest.mark.parametrize('integers', [
    np.full((40, 40), 9), np.arange(1600).reshape(40, 40) % 15 * 5 - 35, np.ones((3, 5), int)],
    ids=['nine', 'no power of two', 'small'])
def test_nothing_to_pack(integers):
    with pytest.raises(DeployError, match=f'at least {SMALLEST} elements'):
        pack_int4(layer(integers))


def test_packed_graph_is_the_same_on_integer_kernels(tmp_path):
    config = QuantConfig(weight_bits=(4, 4), activation_bits=(8, 8),
                         layers={'stem.0': {'weight_bits': (6, 6)}})
    grids = layer_grids(quantized_net(config))
    plain = insert_qdq(export(float_net()), grids, feeds())
    raised = insert_qdq(raise_opset(export(float_net())), grids, feeds())
    packed = pack_int4(raised.model)
    # the only one large enough
    assert {layer.match.layer.name for layer in raised.integer
            if layer.stored_weight in packed.names} == {'last'}
    assert audit(packed.model, raised.integer)['QLinearConv'] == 5
    assert count_operators(optimized_graph(packed.model)).get('Cast') is None
    onnx.save(packed.model, tmp_path / 'packed.onnx')
    sessions = [open_session(path, threads=1) for path in (
        plain.model.SerializeToString(), raised.model.SerializeToString(),
        tmp_path / 'packed.onnx')]
    for feed in feeds():
        first, *others = (session.run(None, feed)[0] for session in sessions)
        for other in others:
            np.testing.assert_array_equal(first, other)
    again = insert_qdq(raise_opset(export(float_net())), grids, feeds())
    assert pack_int4(again.model).model.SerializeToString() == packed.model.SerializeToString()
