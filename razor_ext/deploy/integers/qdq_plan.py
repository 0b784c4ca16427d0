"""Which tensors of a graph live on integer grids, and on which."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from ..onnx_graph import consumers, stored_tensors
from .grids import Grid
from .match import MatchedLayer

#: Operators whose output has the grid of their input.
MOVING = frozenset({'Flatten', 'MaxPool', 'Reshape', 'Slice', 'Split', 'Squeeze', 'Transpose',
                    'Unsqueeze'})
#: Operators that ONNX Runtime computes on integers, with a grid of their own for the output.
ARITHMETIC = frozenset({'Add', 'AveragePool', 'Concat', 'GlobalAveragePool', 'LeakyRelu', 'Mul',
                        'Relu', 'Sigmoid'})
#: Operators on a few values that stay float between integer ones.
BRIDGES = frozenset({'HardSigmoid'})
UNIT_GRID = Grid(1 / 256, 0, 0, 255)
UNIT_RANGE = frozenset({'HardSigmoid', 'Sigmoid'})


@dataclass
class Plan:
    """Grids of a graph.

    Args:
        matches: Layer of each node of the graph, by the node's first output.
        own: Grid a tensor is stored on; None until its range is known.
        operand: Grid of one input of one node, by (first output of the node, position).
        preferred: Grid that the layers want of a tensor which others read as well. It is taken if
            it is no coarser for them than one of its own.
        unknown: Tensors of `own` whose range must be observed.
    """

    matches: dict[str, MatchedLayer]
    own: dict[str, Grid | None] = field(default_factory=dict)
    preferred: dict[str, Grid] = field(default_factory=dict)
    operand: dict[tuple[str, int], Grid] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)

    @property
    def unknown(self) -> list[str]:
        """Tensors whose range must be observed."""
        return [name for name, grid in self.own.items()
                if grid is None and name not in self.source]

    def runs_integer(self, node: onnx.NodeProto) -> bool:
        """Whether a node is a quantized layer that the backend runs on integers."""
        match = self.matches.get(node.output[0])
        return match is not None and match.layer.refused is None

    def settle(self, ranges: Mapping[str, tuple[float, float]]) -> None:
        """Give every tensor without a grid the one of its observed range.

        Args:
            ranges: Smallest and largest value of each tensor of `unknown`.
        """
        for name in self.unknown:
            grid, wanted = Grid.of_range(*ranges[name]), self.preferred.get(name)
            self.own[name] = wanted if wanted is not None and wanted.replaces(grid) else grid
        for name, origin in self.source.items():
            self.own[name] = self.own[origin]


def _grid_ahead(value: str, users: Mapping[str, Sequence[onnx.NodeProto]], plan: Plan,
                outputs: set[str]) -> Grid | None:
    """The one integer grid on which all layers read a tensor that is only moved, if there is one.

    Where shapes are fixed ONNX Runtime carries their quantizers back to what computes it.
    """
    grids: set[Grid | None] = set()
    waiting = [value]
    while waiting:
        name = waiting.pop()
        if name in outputs or not users.get(name):
            return None
        for node in users[name]:
            if node.op_type == 'Shape':
                continue
            positions = [i for i, read in enumerate(node.input) if read == name]
            if node.op_type in MOVING and positions == [0]:
                waiting.extend(node.output)
                continue
            grids.update(plan.operand.get((node.output[0], i)) if plan.runs_integer(node) else None
                         for i in positions)
    return grids.pop() if len(grids) == 1 else None


def plan_grids(model: onnx.ModelProto, matches: Sequence[MatchedLayer]) -> Plan:
    """Decide which tensors are stored as integers.

    A quantized layer wants its inputs on its own grids. A convolution can only be an integer one
    if its output is on a grid as well; from there integers spread through every operator that has
    an integer form and only integer inputs. A matrix product gives floats at no cost, unless what
    it gives is only moved to further layers.

    Args:
        model: Float graph, in topological order.
        matches: Result of :func:`match_layers`.

    Returns:
        The plan; tensors of ``unknown`` have a grid only after :meth:`Plan.settle`.
    """
    plan = Plan({match.node.output[0]: match for match in matches})
    wanted: dict[str, list[Grid]] = defaultdict(list)
    for match in matches:
        for position, grid in zip(match.operands, match.layer.inputs):
            if grid is not None:
                plan.operand[match.node.output[0], position] = grid
                wanted[match.node.input[position]].append(grid)
    stored = stored_tensors(model)
    users = consumers(model)
    finest = {name: min((grid for grid in grids if grid.is_integer), default=None,
                        key=lambda grid: grid.scale) for name, grids in wanted.items()}
    # Training has put only the layers' own inputs on their grids, not what a residual adds.
    for name, grids in wanted.items():
        grid = finest[name]
        if grid is not None and len(users[name]) > len(grids):
            plan.preferred[name] = grid
            del finest[name]
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        name = node.output[0]
        activations = [value for value in node.input if value and value not in stored]
        constant = len(activations) < sum(bool(value) for value in node.input)
        # An output leaves as floats, and what is computed from it starts from them.
        on_grids = bool(activations) and all(value in plan.own and value not in outputs
                                             for value in activations)
        if plan.runs_integer(node):
            if node.op_type == 'Conv':
                plan.own[name] = finest.get(name)
            else:
                ahead = _grid_ahead(name, users, plan, outputs)
                if ahead is not None:
                    plan.own[name] = ahead
        elif node.op_type in MOVING and node.input[0] in plan.own and node.input[0] not in outputs:
            for value in node.output:
                plan.own[value] = None
                plan.source[value] = plan.source.get(node.input[0], node.input[0])
        elif on_grids and name not in outputs and not constant and (
                node.op_type in ARITHMETIC | BRIDGES):
            plan.own[name] = finest.get(name) or (
                UNIT_GRID if node.op_type in UNIT_RANGE else None)
    return plan
