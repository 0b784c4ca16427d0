"""Symmetric pairs of QuantizeLinear and DequantizeLinear, the form of integers TensorRT reads.

TensorRT takes int8 with zero points of 0, one step per tensor for activations, and fuses on its own
what lies between layers (NVIDIA, "Working with Quantized Types", explicit quantization).
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import AuditError, DeployError
from ..onnx_graph import (
    CONTRACTIONS,
    clone,
    drop_unread,
    producers,
    require_opset,
    stored_tensors,
)
from .derived import fold_derived
from .grids import LayerGrids
from .match import MatchedLayer, match_layers
from .products import ProductSamples
from .weights import FoldedWeight

RECIPE = "train with quant=dict(activation_scheme='signed', activation_bits=(8, 8), ...)"


def require_symmetric(spec: Mapping) -> None:
    """Refuse grids that have no symmetric int8 form.

    Args:
        spec: Content of quant.json.

    Raises:
        DeployError: Naming the first layer that does not fit, and how to train one that does.
    """
    for name, layer in spec['layers'].items():
        for operand, grid in layer['activations'].items():
            if grid['scheme'] != 'signed' or grid['bits'] != 8:
                raise DeployError(
                    f'TensorRT takes symmetric int8 activations only, {operand!r} of layer '
                    f'{name!r} is {grid["scheme"]} with {grid["bits"]} bits; {RECIPE}')
        weight = layer['weight']
        if weight is not None and weight['bits'] > 8:
            raise DeployError(f'TensorRT takes int8 weights, those of layer {name!r} have '
                              f'{weight["bits"]} bits; train with fewer')


def insert_symmetric_qdq(model: onnx.ModelProto, layers: Sequence[LayerGrids],
                         samples: ProductSamples | None = None) -> onnx.ModelProto:
    """Put a pair in front of every activation and weight of the quantized layers.

    Args:
        model: Float graph, opset 13 or later, exported from the model without its quantizers.
        layers: Grids of the quantized layers; those refused stay float, tables on their grids.
        samples: See :func:`match_layers`.

    Returns:
        The new graph; `model` is left alone.

    Raises:
        DeployError: If the opset is too old for steps per channel, or a layer is not in the graph.
    """
    require_opset(model)
    model = model if samples is None else fold_derived(model, samples.feed)
    matches = {match.node.output[0]: match for match in match_layers(model, layers, samples)
               if not match.layer.refused or not match.operands}
    new = clone(model)
    writer = _Pairs(new.graph)
    for node in model.graph.node:
        copied = clone(node)
        match = matches.get(node.output[0])
        if match is not None:
            writer.quantize(copied, match)
        writer.nodes.append(copied)
    del new.graph.node[:]
    new.graph.node.extend(writer.nodes)
    drop_unread(new.graph)
    return new


class _Pairs:
    """Writes the pairs of a graph's layers."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self._done: dict[tuple[str, float], str] = {}

    def quantize(self, node: onnx.NodeProto, match: MatchedLayer) -> None:
        """Redirect the inputs of a node to their pairs, a table to its values."""
        if not match.operands:
            if match.layer.integers is not None:
                node.input[0] = f'{node.output[0]}/weight'
                self._store(node.input[0], FoldedWeight.of(match).values)
            return
        for position, grid in zip(match.operands, match.layer.inputs):
            assert grid is not None  # or the layer would be refused
            key = (node.input[position], grid.scale)
            if key not in self._done:
                name = f'{node.input[position]}/int8_{len(self._done)}'
                self._done[key] = self._pair(node.input[position], name,
                                             np.asarray(grid.scale, np.float32))
            node.input[position] = self._done[key]
        if match.layer.integers is not None:
            weight = FoldedWeight.of(match)
            name, scale = f'{node.output[0]}/weight', weight.scale
            self._store(name, weight.values)
            position = list(node.input).index(match.weight)
            axis = weight.axis if scale.size > 1 else None
            node.input[position] = self._pair(
                name, name, scale if scale.size > 1 else scale.reshape(()), axis)

    def _pair(self, value: str, name: str, scale: np.ndarray, axis: int | None = None) -> str:
        steps, zero = f'{name}/scale', f'{name}/zero'
        self._store(steps, np.asarray(scale, np.float32))
        self._store(zero, np.zeros(np.shape(scale), np.int8))
        options: dict[str, Any] = {} if axis is None else {'axis': axis}
        self.nodes.append(helper.make_node('QuantizeLinear', [value, steps, zero],
                                           [f'{name}/quantized'], **options))
        self.nodes.append(helper.make_node('DequantizeLinear', [f'{name}/quantized', steps, zero],
                                           [f'{name}/dequantized'], **options))
        return f'{name}/dequantized'

    def _store(self, name: str, array: np.ndarray) -> None:
        self.graph.initializer.append(numpy_helper.from_array(array, name))


def check_pattern(model: onnx.ModelProto) -> dict[str, int]:
    """Check that a graph has the form TensorRT demands of explicit quantization.

    Args:
        model: Graph with pairs.

    Returns:
        ``quantized`` and ``floating`` layers.

    Raises:
        AuditError: Naming the node: a quantizer without its counterpart, a zero point other than
            int8 zeros, a step that is not positive, steps per channel on an activation, or a layer
            with one quantized input and a float one.
    """
    stored = stored_tensors(model)
    produced = producers(model)
    counts = {'quantized': 0, 'floating': 0}
    for node in model.graph.node:
        if node.op_type == 'QuantizeLinear':
            _check_quantizer(node, model, stored)
        elif node.op_type in CONTRACTIONS:
            kinds = [produced[value].op_type == 'DequantizeLinear' if value in produced else False
                     for value in node.input[:2]]
            if kinds[0] != kinds[1]:
                raise AuditError(f'{node.op_type} {node.output[0]!r} has one quantized input and '
                                 'one in float; TensorRT runs it in float')
            counts['quantized' if kinds[0] else 'floating'] += 1
    return counts


def _check_quantizer(node: onnx.NodeProto, model: onnx.ModelProto,
                     stored: Mapping[str, np.ndarray]) -> None:
    value, steps, zero = node.input
    readers = [other for other in model.graph.node if node.output[0] in other.input]
    wrong = [
        ('is not followed by its DequantizeLinear alone',
         [other.op_type for other in readers] != ['DequantizeLinear']
         or list(readers[0].input[1:]) != [steps, zero]),
        ('has a zero point other than int8 zeros',
         stored[zero].dtype != np.int8 or stored[zero].any()),
        ('has a step that is not positive', not (stored[steps] > 0).all()),
        ('has one step per channel, on an activation', stored[steps].ndim and value not in stored)]
    for what, is_wrong in wrong:
        if is_wrong:
            raise AuditError(f'QuantizeLinear of {value!r} {what}; TensorRT refuses it')
