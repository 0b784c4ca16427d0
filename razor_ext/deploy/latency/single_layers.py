"""Measured time of one layer as a network of its own."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from razor_ext.structure.latency import LayerShape

from .timing import Spread, time_onnx


def layer_model(shape: LayerShape, bits: int) -> onnx.ModelProto:
    """A network of this layer alone, in float32 (32 bits) or on integers (8 bits and fewer)."""
    generator = np.random.default_rng(0)
    weight = generator.integers(-127, 128, (shape.outputs, shape.inputs // shape.groups,
                                            *shape.kernel))
    pads = [side // 2 for side in shape.kernel] * 2
    options: dict[str, Any] = {'kernel_shape': list(shape.kernel), 'pads': pads,
                               'strides': list(shape.stride), 'group': shape.groups}
    tensors: dict[str, np.ndarray | np.generic]
    if bits > 8:
        kind, tensors = TensorProto.FLOAT, {'w': weight.astype(np.float32) / 127}
        nodes = [helper.make_node('Conv', ['x', 'w'], ['y'], **options)]
    else:
        kind = TensorProto.UINT8
        scale = np.full(shape.outputs, 1e-3, np.float32)
        tensors = {'w': weight.astype(np.int8), 's': scale,
                   'z': np.zeros(shape.outputs, np.int8), 'a': np.float32(0.02),
                   'm': np.uint8(128)}
        nodes = [helper.make_node('DequantizeLinear', ['x', 'a', 'm'], ['xf']),
                 helper.make_node('DequantizeLinear', ['w', 's', 'z'], ['wf'], axis=0),
                 helper.make_node('Conv', ['xf', 'wf'], ['yf'], **options),
                 helper.make_node('QuantizeLinear', ['yf', 'a', 'm'], ['y'])]
    graph = helper.make_graph(
        nodes, 'layer', [helper.make_tensor_value_info('x', kind,
                                                 [shape.batch, shape.inputs, *shape.size])],
        [helper.make_tensor_value_info('y', kind, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)


def measure_layer(shape: LayerShape, bits: int, rounds: int = 40) -> Spread:
    """Milliseconds of one layer on one thread."""
    kind = np.uint8 if bits <= 8 else np.float32
    values = np.random.default_rng(1).integers(0, 256, (shape.batch, shape.inputs, *shape.size))
    feed = {'x': values.astype(kind)}
    seconds = time_onnx({'layer': layer_model(shape, bits).SerializeToString()}, 1, rounds,
                        feed=feed)
    return Spread.of(seconds['layer']).scaled(1e3)
