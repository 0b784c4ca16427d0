"""Write the integers of a quantized model into its ONNX graph, as QuantizeLinear pairs."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .alignment import align_inputs
from .errors import DeployError
from .grids import Grid, LayerGrids
from .match import MatchedLayer, match_layers, stored_tensors
from .qdq_plan import Plan, absorb_relu, leave_pools_float, observe, plan_grids, trim_silu

MICROSOFT = 'com.microsoft'


@dataclass(frozen=True)
class IntegerLayer:
    """One node that runs on integers.

    Args:
        match: Layer and float node.
        operands: Stored integers of each activation input, and their grids.
        stored_weight: Name of the weight's integers in the new graph, None without one.
        integers: Integers of the weight as stored, None without one.
        scale: Steps of the weight, one or one per output channel.
        bias: Bias in float, None without one.
        output: Stored integers of the output, or the float output.
        grid: Grid of the output, None where it is float.
    """

    match: MatchedLayer
    operands: tuple[tuple[str, Grid], ...]
    stored_weight: str | None
    integers: np.ndarray | None
    scale: np.ndarray | None
    bias: np.ndarray | None
    output: str
    grid: Grid | None

    @property
    def key(self) -> str:
        """What identifies the node in any version of the graph: its weight or its product."""
        return self.stored_weight or self.match.node.output[0]


@dataclass(frozen=True)
class QdqModel:
    """A graph with integers.

    Args:
        model: The graph.
        integer: Nodes that must run on integers.
        floating: Reason of each quantized layer that runs in floating point.
        on_grids: The float graph with the weights' values on their grids.
    """

    model: onnx.ModelProto
    integer: tuple[IntegerLayer, ...]
    floating: dict[str, str]
    on_grids: onnx.ModelProto


def insert_qdq(model: onnx.ModelProto, layers: Sequence[LayerGrids],
               batches: Sequence[Mapping[str, np.ndarray]]) -> QdqModel:
    """Turn a float graph into one that ONNX Runtime runs on integers.

    Args:
        model: Float graph, opset 13 or later, exported from the model without its quantizers.
        layers: Grids of the quantized layers.
        batches: Calibration inputs by name, for tensors between layers, which training gives no
            grid.

    Returns:
        The new graph; `model` is left alone.

    Raises:
        DeployError: If the opset is too old, there is nothing to calibrate on, or a layer is not
            in the graph.
    """
    require_opset(model)
    if not batches:
        raise DeployError('no calibration batch: tensors between layers need observed ranges')
    stored = stored_tensors(model)
    matches = [_check_bias(match, stored) for match in match_layers(model, layers)]
    plan = plan_grids(model, matches)
    writer = _Writer(model, plan)
    on_grids = writer.with_float_weights()
    plan.settle(observe(on_grids, plan.unknown, batches))
    writer.means = leave_pools_float(model, plan)
    trim_silu(model, plan)
    writer.absorbed = absorb_relu(model, plan)
    integer, floating = writer.write()
    return QdqModel(align_inputs(writer.assemble()), integer, floating, on_grids)


def opset_of(model: onnx.ModelProto) -> int:
    """Version of ONNX's own operators in a graph."""
    return next(item.version for item in model.opset_import if item.domain in ('', 'ai.onnx'))


def require_opset(model: onnx.ModelProto) -> None:
    """Raise a DeployError for a graph too old for steps per channel."""
    opset = opset_of(model)
    if opset < 13:
        raise DeployError(f'the graph has opset {opset}, per-channel quantization needs 13; '
                          'set onnx_config.opset_version=13 in the deploy config')


def drop_unread(graph: onnx.GraphProto) -> None:
    """Remove stored tensors that no node reads."""
    used = {value for node in graph.node for value in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


class _Writer:
    """Builds the new graph node by node."""

    def __init__(self, model: onnx.ModelProto, plan: Plan) -> None:
        self.source, self.plan = model, plan
        self.opset = opset_of(model)
        self.stored = stored_tensors(model)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.quantized: dict[tuple[str, Grid], str] = {}
        self.weights = {match.node.output[0]: (*fold_weight(match), match.channel_axis)
                        for match in plan.matches.values() if match.layer.integers is not None}
        #: Tensor (of the float graph, or a copy on another grid) -> its integers. New names begin
        #: with ~, which no exporter uses, and are short: they are a part of the file's size.
        self._names: dict[str, str] = {}
        self._constants: dict[tuple, str] = {}
        #: Outputs of nodes that are left out, and what stands for them.
        self.absorbed: set[str] = set()
        self._alias: dict[str, str] = {}
        #: Outputs of global pools that are written as means.
        self.means: set[str] = set()
        self.contrib = False

    def with_float_weights(self) -> onnx.ModelProto:
        """The float graph, with weights on their grids."""
        model = onnx.ModelProto()
        model.CopyFrom(self.source)
        for node in model.graph.node:
            if node.output[0] in self.weights:
                integers, scale, axis = self.weights[node.output[0]]
                name = self._weight_name(node)
                values = integers * along_axis(scale, axis, integers.ndim)
                on_grid = f'{node.output[0]}/weight'
                model.graph.initializer.append(
                    numpy_helper.from_array(values.astype(np.float32), on_grid))
                node.input[list(node.input).index(name)] = on_grid
        drop_unread(model.graph)
        return model

    def write(self) -> tuple[tuple[IntegerLayer, ...], dict[str, str]]:
        """Emit every node with its quantizers; returns what runs on integers and what does not."""
        integer, floating = [], {}
        for node in self.source.graph.node:
            new = onnx.NodeProto()
            new.CopyFrom(node)
            for index, value in enumerate(new.input):
                new.input[index] = self._alias.get(value, value)
            match = self.plan.matches.get(node.output[0])
            if match is not None:
                if match.layer.refused:
                    floating[match.layer.name] = match.layer.refused
                else:
                    integer.append(match)
                self._quantize_operands(new, node)
                self._quantize_weight(new, node)
            if node.output[0] in self.absorbed:
                self._alias[node.output[0]] = new.input[0]
                continue
            mean = node.output[0] in self.means
            self.nodes.append(self._as_mean(new, node.input[0]) if mean else new)
            for index, value in enumerate(node.output):
                if self.plan.own.get(value) is not None:
                    new.output[index] = f'~r{len(self._names)}'
                    self._store(new.output[index], self.plan.own[value], value)
        return tuple(map(self._describe, integer)), floating

    def _as_mean(self, pool: onnx.NodeProto, source: str) -> onnx.NodeProto:
        """The mean over all dimensions after the second: a global pool's value, never fused."""
        shapes = onnx.shape_inference.infer_shapes(self.source).graph.value_info
        rank = next(len(value.type.tensor_type.shape.dim) for value in shapes
                    if value.name == source)
        axes = list(range(2, rank))
        if self.opset < 18:
            return helper.make_node('ReduceMean', pool.input, pool.output, axes=axes, keepdims=1)
        inputs = [*pool.input, self._stored(np.asarray(axes, np.int64))]
        return helper.make_node('ReduceMean', inputs, pool.output, keepdims=1)

    def _describe(self, match: MatchedLayer) -> IntegerLayer:
        node = match.node
        operands = []
        for position in match.operands:
            grid = self.plan.operand[node.output[0], position]
            value = self._alias.get(node.input[position], node.input[position])
            operands.append((self._names[self.quantized.get((value, grid), value)], grid))
        integers, scale, _ = self.weights.get(node.output[0], (None, None, 0))
        bias = self.stored[node.input[2]] if len(node.input) > 2 else None
        output = self.plan.own.get(node.output[0])
        name = node.output[0] if output is None else self._names[node.output[0]]
        stored = None if integers is None else self._names[f'{node.output[0]}/weight']
        return IntegerLayer(match, tuple(operands), stored, integers, scale, bias, name, output)

    def _weight_name(self, node: onnx.NodeProto) -> str:
        return self.plan.matches[node.output[0]].weight

    def _quantize_operands(self, new: onnx.NodeProto, node: onnx.NodeProto) -> None:
        for position in self.plan.matches[node.output[0]].operands:
            grid = self.plan.operand.get((node.output[0], position))
            value = new.input[position]
            if grid is None or self.plan.own.get(value) == grid:
                continue
            key = (value, grid)
            if key not in self.quantized:
                name = f'~x{len(self._names)}'
                self._store(value, grid, name)
                self.quantized[key] = name
            new.input[position] = self.quantized[key]

    def _quantize_weight(self, new: onnx.NodeProto, node: onnx.NodeProto) -> None:
        if node.output[0] not in self.weights:
            return
        bias = new.input[2] if len(new.input) > 2 else ''
        if bias and self.plan.runs_integer(node):
            self._refine(node)
        integers, scale, axis = self.weights[node.output[0]]
        name = self._weight_name(node)
        container = np.int8 if np.abs(integers).max(initial=0) <= 127 else np.int16
        operand = self.plan.operand.get((node.output[0], 0))
        if bias and self.plan.runs_integer(node):
            new.input[2] = self._dequantized(
                f'{node.output[0]}/bias', np.rint(self.stored[bias] / (scale * operand.scale)),
                np.int32, scale * np.float32(operand.scale), 0)
        new.input[list(new.input).index(name)] = self._dequantized(
            f'{node.output[0]}/weight', integers, container, scale, axis)

    def _refine(self, node: onnx.NodeProto) -> None:
        """Store narrow weights times a power of two, where their steps are too coarse for the bias.

        The bias is rounded to input step times weight step. A smaller weight step with integers
        larger by as much is the same weight, and the container has room for it.
        """
        integers, scale, axis = self.weights[node.output[0]]
        grid = self.plan.own.get(node.output[0])
        operand = self.plan.operand[node.output[0], 0]
        if grid is None:
            return
        room, factor = 127 // max(1, int(np.abs(integers).max())), 1
        while 2 * factor <= room and scale.max() * operand.scale / factor > grid.scale / 8:
            factor *= 2
        self.weights[node.output[0]] = integers * factor, scale / np.float32(factor), axis

    def _dequantized(self, name: str, integers: np.ndarray, container: type, scale: np.ndarray,
                     axis: int) -> str:
        """Store integers with their DequantizeLinear; returns the name of the float tensor."""
        stored = self._names[name] = f'~w{len(self._names)}'
        scale = scale.astype(np.float32)
        per_tensor = scale.size == 1
        self.initializers[stored] = integers.astype(container)
        self._dequantize(stored, self._stored(scale.reshape(()) if per_tensor else scale),
                         self._stored(np.zeros([] if per_tensor else scale.shape, container)),
                         f'{stored}_float', container, **({} if per_tensor else {'axis': axis}))
        return f'{stored}_float'

    def _store(self, value: str, grid: Grid, output: str) -> None:
        """Quantize a float tensor and dequantize it again under another name."""
        scale = self._stored(np.asarray(grid.scale, np.float32))
        zero = self._stored(np.asarray(grid.zero_point, grid.container))
        integers = self._names[output] = f'~q{len(self._names)}'
        wide = integers if grid.fills_container else f'{integers}_wide'
        self.nodes.append(helper.make_node('QuantizeLinear', [value, scale, zero], [wide],
                                           domain=self._domain(grid.container)))
        if not grid.fills_container:
            limits = [self._stored(np.asarray(limit, grid.container))
                      for limit in (grid.low, grid.high)]
            self.nodes.append(helper.make_node('Clip', [wide, *limits], [integers]))
        self._dequantize(integers, scale, zero, output, grid.container)

    def _dequantize(self, stored: str, scale: str, zero: str, output: str, container,
                    **options) -> None:
        self.nodes.append(helper.make_node('DequantizeLinear', [stored, scale, zero], [output],
                                           domain=self._domain(container), **options))

    def _stored(self, array: np.ndarray) -> str:
        """Name of a small constant; equal ones are stored once."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f'~c{len(self._constants)}'
            self.initializers[self._constants[key]] = array
        return self._constants[key]

    def _domain(self, container) -> str:
        """16-bit containers are ONNX Runtime's own below opset 21."""
        if np.dtype(container).itemsize == 2:
            self.contrib = True
            return MICROSOFT
        return ''

    def assemble(self) -> onnx.ModelProto:
        """Make the graph of what was written."""
        used = {value for node in self.nodes for value in node.input}
        used |= {value.name for value in self.source.graph.output}
        stored = [item for item in self.source.graph.initializer if item.name in used]
        stored += [numpy_helper.from_array(np.asarray(array), name)
                   for name, array in self.initializers.items()]
        graph = helper.make_graph(self.nodes, self.source.graph.name, self.source.graph.input,
                                  self.source.graph.output, stored)
        opsets = list(self.source.opset_import)
        if self.contrib:
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        model = helper.make_model(graph, opset_imports=opsets,
                                  ir_version=self.source.ir_version)
        onnx.checker.check_model(model)
        return model


def fold_weight(match: MatchedLayer) -> tuple[np.ndarray, np.ndarray]:
    """Integers and scales of a stored weight: what it was multiplied by goes into the scales."""
    factor = match.factor
    if np.abs(factor - 1).max() < 1e-5:
        factor = np.ones(1)
    integers = match.layer.integers.transpose(match.axes)
    step = match.layer.step.reshape(-1).astype(np.float64)
    scale = np.abs(factor) * step
    scale = np.where(scale > 0, scale, step)  # a factor of 0 leaves nothing but zeros
    signs = along_axis(np.sign(factor).astype(np.int64), match.channel_axis, integers.ndim)
    return integers * signs, scale.astype(np.float32)


def _check_bias(match: MatchedLayer, stored: Mapping[str, np.ndarray]) -> MatchedLayer:
    """Leave a layer in floating point whose bias is beyond what int32 holds in its steps."""
    bias = match.node.input[2] if len(match.node.input) > 2 else ''
    if not bias or match.layer.refused:
        return match
    with np.errstate(over='ignore'):
        units = np.abs(stored[bias] / (fold_weight(match)[1] * match.layer.inputs[0].scale))
    if units.max() < 2 ** 31 - 1:
        return match
    layer = replace(match.layer, refused='a bias is beyond int32 in steps of input times weight')
    return replace(match, layer=layer)


def along_axis(scale: np.ndarray, axis: int, ndim: int) -> np.ndarray:
    """Shape a vector so that it broadcasts along one axis of `ndim`."""
    shape = [1] * ndim
    shape[axis] = -1
    return scale.reshape(shape)
