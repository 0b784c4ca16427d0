"""Build the graph of a plan, node by node."""
from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper

from ..onnx_graph import clone, opset_of, stored_tensors
from .grids import Grid
from .integer_layer import IntegerLayer
from .match import MatchedLayer
from .qdq_plan import Plan
from .quantizer_nodes import QuantizerNodes
from .weights import FoldedWeight


class QdqWriter:
    """Writes a float graph with the quantizers of a plan.

    Args:
        model: Float graph.
        plan: Settled plan.
        weights: Weight of each layer with integers, by the first output of its node; those whose
            steps are refined are replaced.
        absorbed: Outputs of the nodes to leave out.
        means: Outputs of the global pools to write as means.
        sums: Outputs of the additions to write as sums.
    """

    def __init__(self, model: onnx.ModelProto, plan: Plan, weights: dict[str, FoldedWeight],
                 absorbed: Collection[str] = (), means: Collection[str] = (),
                 sums: Collection[str] = ()) -> None:
        self.source, self.plan, self.weights = model, plan, weights
        self.absorbed, self.means, self.sums = absorbed, means, sums
        self._stored = stored_tensors(model)
        self._new = QuantizerNodes()
        #: Float tensor and grid -> the tensor on that grid.
        self._on_grid: dict[tuple[str, Grid], str] = {}
        #: Outputs of nodes that are left out, and what stands for them.
        self._alias: dict[str, str] = {}

    def write(self) -> tuple[onnx.ModelProto, tuple[IntegerLayer, ...], dict[str, str]]:
        """Emit every node with its quantizers.

        Returns:
            The new graph, the layers that run on integers, and why the others do not.
        """
        integer: list[MatchedLayer] = []
        floating: dict[str, str] = {}
        for node in self.source.graph.node:
            new = clone(node)
            for index, value in enumerate(new.input):
                new.input[index] = self._alias.get(value, value)
            match = self.plan.matches.get(node.output[0])
            if match is not None:
                if match.layer.refused:
                    floating[match.layer.name] = match.layer.refused
                else:
                    integer.append(match)
                self._quantize_operands(new, match)
                self._quantize_weight(new, match)
            if node.output[0] in self.absorbed:
                self._alias[node.output[0]] = new.input[0]
            else:
                self._emit(new, node)
        return self._new.assemble(self.source), tuple(map(self._describe, integer)), floating

    def _emit(self, new: onnx.NodeProto, node: onnx.NodeProto) -> None:
        if node.output[0] in self.sums:
            new.op_type = 'Sum'
        mean = node.output[0] in self.means
        self._new.nodes.append(self._as_mean(new, node.input[0]) if mean else new)
        for index, value in enumerate(node.output):
            grid = self.plan.own.get(value)
            if grid is not None:
                new.output[index] = self._new.new_name('r')
                self._new.quantize(new.output[index], grid, value)

    def _as_mean(self, pool: onnx.NodeProto, source: str) -> onnx.NodeProto:
        """The mean over all dimensions after the second: a global pool's value, never fused."""
        shapes = onnx.shape_inference.infer_shapes(self.source).graph.value_info
        rank = next(len(value.type.tensor_type.shape.dim) for value in shapes
                    if value.name == source)
        axes = list(range(2, rank))
        if opset_of(self.source) < 18:
            return helper.make_node('ReduceMean', pool.input, pool.output, axes=axes, keepdims=1)
        inputs = [*pool.input, self._new.constant(np.asarray(axes, np.int64))]
        return helper.make_node('ReduceMean', inputs, pool.output, keepdims=1)

    def _quantize_operands(self, new: onnx.NodeProto, match: MatchedLayer) -> None:
        for position in match.operands:
            grid = self.plan.operand.get((match.node.output[0], position))
            value = new.input[position]
            if grid is None or self.plan.own.get(value) == grid:
                continue
            key = (value, grid)
            if key not in self._on_grid:
                name = self._new.new_name('x')
                self._new.quantize(value, grid, name)
                self._on_grid[key] = name
            new.input[position] = self._on_grid[key]

    def _quantize_weight(self, new: onnx.NodeProto, match: MatchedLayer) -> None:
        output = match.node.output[0]
        if output not in self.weights:
            return
        bias = new.input[2] if len(new.input) > 2 else ''
        if bias and match.layer.refused is None:
            step, grid = self.plan.operand[output, 0].scale, self.plan.own.get(output)
            if grid is not None:
                self.weights[output] = self.weights[output].refined(step, grid.scale)
            scale = self.weights[output].scale
            new.input[2] = self._new.store(
                f'{output}/bias', np.rint(self._stored[bias] / (scale * step)), np.int32,
                scale * np.float32(step), 0)
        weight = self.weights[output]
        container = np.int8 if np.abs(weight.integers).max(initial=0) <= 127 else np.int16
        new.input[list(new.input).index(match.weight)] = self._new.store(
            f'{output}/weight', weight.integers, container, weight.scale, weight.axis)

    def _describe(self, match: MatchedLayer) -> IntegerLayer:
        node, names = match.node, self._new.names
        operands = []
        for position in match.operands:
            grid = self.plan.operand[node.output[0], position]
            value = self._alias.get(node.input[position], node.input[position])
            operands.append((names[self._on_grid.get((value, grid), value)], grid))
        weight = self.weights.get(node.output[0])
        own = self.plan.own.get(node.output[0])
        return IntegerLayer(
            match, tuple(operands),
            stored_weight=None if weight is None else names[f'{node.output[0]}/weight'],
            integers=None if weight is None else weight.integers,
            scale=None if weight is None else weight.scale,
            bias=self._stored[node.input[2]] if len(node.input) > 2 else None,
            output=node.output[0] if own is None else names[node.output[0]], grid=own)
