"""What ONNX Runtime really runs."""
from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx
import onnxruntime

from ..errors import AuditError
from .integer_layer import IntegerLayer

INTEGER_KERNELS = frozenset({'QLinearConv', 'QLinearMatMul', 'QGemm', 'MatMulIntegerToFloat'})


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
    return not {layer.key, layer.output}.isdisjoint(node.output)


def audit(model: onnx.ModelProto, layers: Sequence[IntegerLayer]) -> dict[str, int]:
    """Check that every layer meant to be integer is.

    Args:
        model: Graph with Q/DQ pairs.
        layers: ``QdqModel.integer``.

    Returns:
        Operators of the optimized graph.

    Raises:
        AuditError: Naming the layers that stayed float.
    """
    optimized = optimized_graph(model)
    wrong = float_layers(optimized, layers)
    if wrong:
        raise AuditError('ONNX Runtime left quantized layers in floating point: '
                         + ', '.join(f'{layer} ({kind})' for layer, kind in wrong.items()))
    return count_operators(optimized)
