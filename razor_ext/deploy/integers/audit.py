"""What ONNX Runtime really runs."""
from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidGraph,
    RuntimeException,
)
from onnxruntime.capi.onnxruntime_pybind11_state import (
    NotImplemented as NoKernel,
)

from ..errors import AuditError
from ..onnx_graph import producers
from .integer_layer import IntegerLayer

INTEGER_KERNELS = frozenset({'QLinearConv', 'QLinearMatMul', 'QGemm', 'MatMulIntegerToFloat'})

#: Operators of transformers that stay in floating point, and why.
FLOAT_OPERATORS = {
    'Softmax': 'exponentials', 'LayerNormalization': 'a root', 'SkipLayerNormalization': 'a root',
    'Gelu': 'an error function', 'BiasGelu': 'an error function', 'FastGelu': 'a tanh',
    'QuickGelu': 'a sigmoid', 'Erf': 'an error function'}


def optimized_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph ONNX Runtime makes of a model on this machine's CPU."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'optimized.onnx')
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = os.fspath(path)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model.SerializeToString(), options,
                                     providers=['CPUExecutionProvider'])
        return onnx.load(path)


def count_operators(model: onnx.ModelProto) -> dict[str, int]:
    """Operators of an optimized graph and how often they occur, most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())


def float_operators(operators: Mapping[str, int]) -> dict[str, str]:
    """Operators between the layers that run in floating point, with their number and why.

    Args:
        operators: Result of :func:`count_operators`.
    """
    return {name: f'{operators[name]}: no integer kernel for {why}'
            for name, why in FLOAT_OPERATORS.items() if name in operators}


def float_layers(optimized: onnx.ModelProto, layers: Iterable[IntegerLayer]) -> dict[str, str]:
    """Layers that should have become integer kernels and did not.

    Args:
        optimized: Result of :func:`optimized_graph`.
        layers: ``QdqModel.integer``.

    Returns:
        Layer name to the operator that reads its weight (or makes its product).
    """
    wrong = {}
    for layer in layers:
        nodes = [node for node in optimized.graph.node if _belongs(node, layer)]
        if not any(node.op_type in INTEGER_KERNELS for node in nodes):
            kinds = ', '.join(sorted({node.op_type for node in nodes}))
            wrong[layer.match.layer.name] = kinds or 'gone'
    return wrong


def _belongs(node: onnx.NodeProto, layer: IntegerLayer) -> bool:
    if layer.integers is not None:
        return layer.key in node.input
    # A product that ONNX Runtime puts on the grid of what moves its values has another output.
    return (not {layer.key, layer.output}.isdisjoint(node.output)
            or {name for name, _ in layer.operands} <= set(node.input))


def explain_failure(message: str, model: onnx.ModelProto,
                    layers: Iterable[IntegerLayer]) -> str:
    """Say which node ONNX Runtime refuses, which layers it belongs to and what to do.

    Args:
        message: ONNX Runtime's words.
        model: Graph with Q/DQ pairs.
        layers: ``QdqModel.integer``.

    Returns:
        One line. The layers are those whose outputs reach the node without another layer between.
    """
    found = re.search(r'Node \(([^)]*)\)(?: Op \((\w+)\))?', message)
    named = {node.name: node for node in model.graph.node if node.name}
    node = None if found is None else named.get(found.group(1))
    if found is None or node is None:
        return f'ONNX Runtime refuses the graph of integers: {message}'
    names = _layers_before(node, model, layers)
    kind = found.group(2) or node.op_type
    advice = ('leave them in float by float_layers of the quantization config '
              f'({", ".join(map(repr, names))})' if names else
              'leave the layers in front of it in float by float_layers of the quantization config')
    return (f'ONNX Runtime refuses node {node.name!r} ({kind}) of the graph of integers, which '
            f'follows {", ".join(map(repr, names)) or "no quantized layer"}: '
            f'{message.rpartition("] ")[2] or message}; {advice} and train again, or deploy for '
            'another version of ONNX Runtime')


def _layers_before(node: onnx.NodeProto, model: onnx.ModelProto,
                   layers: Iterable[IntegerLayer]) -> list[str]:
    """Names of the nearest integer layers in front of a node, in the order of the layers."""
    produced = producers(model)
    ends = {value: layer.match.layer.name for layer in layers
            for value in (layer.output, layer.match.node.output[0])}
    found, seen, waiting = set(), set(), list(node.input)
    while waiting:
        value = waiting.pop()
        if value in ends:
            found.add(ends[value])
        elif value in produced and value not in seen:
            seen.add(value)
            waiting.extend(produced[value].input)
    return [name for name in dict.fromkeys(ends.values()) if name in found]


def audit(model: onnx.ModelProto, layers: Sequence[IntegerLayer]) -> dict[str, int]:
    """Check that every layer meant to be integer is.

    Args:
        model: Graph with Q/DQ pairs.
        layers: ``QdqModel.integer``.

    Returns:
        Operators of the optimized graph.

    Raises:
        AuditError: Naming the layers that stayed float, or the node that ONNX Runtime refuses.
    """
    try:
        optimized = optimized_graph(model)
    except (Fail, InvalidGraph, NoKernel, RuntimeException) as error:
        raise AuditError(explain_failure(str(error), model, layers)) from error
    wrong = float_layers(optimized, layers)
    if wrong:
        raise AuditError('ONNX Runtime left quantized layers in floating point: '
                         + ', '.join(f'{layer} ({kind})' for layer, kind in wrong.items()))
    return count_operators(optimized)
