"""Changes of a settled plan that spare nodes, keep ONNX Runtime running, or use grids better."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx

from ..onnx_graph import consumers, producers
from .grids import Grid
from .qdq_plan import Plan


def absorb_relu(model: onnx.ModelProto, plan: Plan) -> set[str]:
    """Let grids that start at zero do the work of Relu.

    Args:
        model: The float graph.
        plan: Settled plan; changed in place.

    Returns:
        Outputs of the Relu nodes that are no longer needed.
    """
    users = consumers(model)
    outputs = {value.name for value in model.graph.output}
    absorbed = set()
    for node in model.graph.node:
        grid = plan.own.get(node.output[0])
        alone = len(users[node.input[0]]) == 1 if node.input else False
        if (node.op_type == 'Relu' and alone and grid is not None and node.input[0] in plan.own
                and node.output[0] not in outputs and grid.zero_point == grid.low):
            plan.own[node.input[0]] = grid
            plan.source.pop(node.input[0], None)
            absorbed.add(node.output[0])
    return absorbed


def leave_pools_float(model: onnx.ModelProto, plan: Plan) -> set[str]:
    """Take global pools off their output's grid where it is far finer than their input's.

    ONNX Runtime refuses to run one whose factor between the two, input step by output step and by
    area, reaches 256 ("parameter out of computation range").

    Args:
        model: The float graph.
        plan: Settled plan; changed in place.

    Returns:
        Outputs of these pools, which must not be written as pools, else ONNX Runtime fuses them.
    """
    floating = set()
    for node in model.graph.node:
        if node.op_type != 'GlobalAveragePool':
            continue
        before, after = plan.own.get(node.input[0]), plan.own.get(node.output[0])
        if before is not None and after is not None and before.scale >= 256 * after.scale:
            del plan.own[node.output[0]]
            floating.add(node.output[0])
    return floating


def keep_biases_apart(model: onnx.ModelProto, plan: Plan) -> set[str]:
    """Find the additions that ONNX Runtime would fuse with an integer matrix product into a Gemm.

    Where shapes are fixed it turns MatMul and Add into Reshape and Gemm before it looks for
    quantizers, and the Gemm stays in floating point (``matmul_add_fusion.cc``). A Sum of two is
    the same addition, and is not fused.

    Args:
        model: The float graph.
        plan: Its plan.

    Returns:
        Outputs of these additions, which must be written as Sum.
    """
    produced = producers(model)
    return {node.output[0] for node in model.graph.node if node.op_type == 'Add'
            and any(value in produced and produced[value].op_type == 'MatMul'
                    and plan.runs_integer(produced[value]) for value in node.input)}


def trim_gates(model: onnx.ModelProto, plan: Plan) -> None:
    """Cut input grids of SiLU and GELU where their output is below half a step.

    Both tend to 0 for negative x, so a grid over the whole range of x spends most integers on
    values that give the same output.

    Args:
        model: The float graph.
        plan: Settled plan; changed in place.
    """
    users, produced = consumers(model), producers(model)
    free = set(plan.own) - {name for name in plan.own if name in plan.source}
    for name in free:
        grid, node = plan.own[name], produced.get(name)
        if node is None or not plan.runs_integer(node):
            continue
        for output_of, floor in ((_silu_output, silu_floor), (_gelu_output, gelu_floor)):
            output = output_of(name, users)
            step = None if output is None else _step_of(output, users, plan)
            if step is not None:
                assert grid is not None  # the plan is settled
                low = (grid.low - grid.zero_point) * grid.scale
                high = (grid.high - grid.zero_point) * grid.scale
                plan.own[name] = Grid.of_range(max(low, floor(step / 2)), high)


def _silu_output(name: str, users: Mapping[str, Sequence[onnx.NodeProto]]) -> str | None:
    """What SiLU of a tensor is, if the tensor goes into nothing else."""
    after = {node.op_type: node for node in users[name]}
    if len(users[name]) != 2 or after.keys() != {'Mul', 'Sigmoid'}:
        return None
    product, gate = after['Mul'], after['Sigmoid']
    return product.output[0] if set(product.input) == {name, gate.output[0]} else None


def _gelu_output(name: str, users: Mapping[str, Sequence[onnx.NodeProto]]) -> str | None:
    """What GELU of a tensor is, if the tensor goes into nothing else.

    It is one operator from opset 20 on, before that x / sqrt(2), Erf, + 1, times x, times 0.5.
    """
    after = users[name]
    if [node.op_type for node in after] == ['Gelu']:
        return after[0].output[0]
    if sorted(node.op_type for node in after) != ['Div', 'Mul']:
        return None
    value = next(node for node in after if node.op_type == 'Div').output[0]
    for kind in ('Erf', 'Add', 'Mul', 'Mul'):
        if [node.op_type for node in users[value]] != [kind]:
            return None
        value = users[value][0].output[0]
    return value


def _step_of(value: str, users: Mapping[str, Sequence[onnx.NodeProto]], plan: Plan,
             ) -> float | None:
    """Step of the grid that a tensor is on, or of the finest on which layers alone read it."""
    own = plan.own.get(value)
    if own is not None:
        return own.scale
    steps = [plan.operand.get((node.output[0], list(node.input).index(value)))
             for node in users[value]]
    return min((grid.scale if grid is not None else 0. for grid in steps), default=0.) or None


def silu_floor(tolerance: float) -> float:
    """Largest x below the minimum of SiLU whose output is within `tolerance` of zero."""
    return _floor(lambda x: x / (1 + np.exp(-x)), -1.2785, tolerance)


def gelu_floor(tolerance: float) -> float:
    """Largest x below the minimum of GELU whose output is within `tolerance` of zero."""
    return _floor(lambda x: x * np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2, -0.7518, tolerance)


def _floor(gate: Callable[[np.ndarray], np.ndarray], least: float, tolerance: float) -> float:
    x = np.linspace(least, -30, 4096)
    small = np.abs(gate(x)) <= tolerance
    return float(x[small][0]) if small.any() else float(x[-1])
