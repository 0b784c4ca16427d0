"""Counting parameters and multiply-accumulates."""
from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from razor_ext.deploy.counts import count_onnx, count_torch


def small_network(height: int | str = 6) -> onnx.ModelProto:
    """Grouped convolution, flattening, two Gemm and a product of activations."""
    generator = np.random.default_rng(0)

    def stored(name, *shape):
        return numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node('Conv', ['input', 'w'], ['conv'], group=2, kernel_shape=[3, 3]),
        helper.make_node('ReduceMean', ['conv'], ['pooled'], axes=[2, 3], keepdims=0),
        helper.make_node('Gemm', ['pooled', 'g', 'b'], ['hidden'], transB=1),
        helper.make_node('Transpose', ['hidden'], ['column'], perm=[1, 0]),
        helper.make_node('Gemm', ['column', 'pooled'], ['second'], transA=1),
        helper.make_node('MatMul', ['column', 'hidden'], ['product']),
    ]
    graph = helper.make_graph(
        nodes, 'small',
        [helper.make_tensor_value_info('input', TensorProto.FLOAT, ['batch', 4, height, 5])],
        [helper.make_tensor_value_info('product', TensorProto.FLOAT, None),
         helper.make_tensor_value_info('second', TensorProto.FLOAT, None)],
        [stored('w', 8, 2, 3, 3), stored('g', 1, 8), stored('b', 1)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)


def test_onnx_counts(tmp_path):
    path = tmp_path / 'small.onnx'
    onnx.save(small_network(), path)
    counts = count_onnx(path)
    assert counts['bytes'] == path.stat().st_size
    assert counts['params'] == 8 * 2 * 9 + 8 + 1
    conv = 8 * (4 * 3) * 2 * 9
    assert counts['macs'] == conv + 1 * 8 + 1 * 8 + 1


def test_a_transposed_convolution_is_counted_as_in_torch(tmp_path):
    model = nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1, groups=2, bias=False)
    weight = numpy_helper.from_array(model.weight.detach().numpy(), 'w')
    graph = helper.make_graph(
        [helper.make_node('ConvTranspose', ['input', 'w'], ['output'], group=2, strides=[2, 2],
                          pads=[1, 1, 1, 1])], 'upsampling',
        [helper.make_tensor_value_info('input', TensorProto.FLOAT, [1, 6, 5, 3])],
        [helper.make_tensor_value_info('output', TensorProto.FLOAT, None)], [weight])
    path = tmp_path / 'upsampling.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8),
              path)
    assert count_onnx(path)['macs'] == 5 * 3 * 6 * 2 * 16
    assert count_torch(model, lambda: model(torch.zeros(1, 6, 5, 3)))['macs'] == 5 * 3 * 6 * 2 * 16


def test_torch_counts():
    model = nn.Sequential(nn.Conv2d(4, 8, 3, bias=False), nn.Flatten(), nn.Linear(8 * 4 * 3, 5))
    counts = count_torch(model, lambda: model(torch.zeros(1, 4, 6, 5)))
    assert counts['params'] == 4 * 8 * 9 + 96 * 5 + 5
    assert counts['macs'] == 8 * 12 * 36 + 96 * 5
