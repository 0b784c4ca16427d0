"""What every reader and writer of an ONNX graph needs."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import onnx
from onnx import numpy_helper

from .errors import DeployError

#: Operators that multiply and accumulate.
CONTRACTIONS = ('Conv', 'Gemm', 'MatMul')

Proto = TypeVar('Proto', onnx.ModelProto, onnx.NodeProto)


def clone(proto: Proto) -> Proto:
    """Copy a model or a node."""
    copied = type(proto)()
    copied.CopyFrom(proto)
    return copied


def stored_tensors(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Initializers and constants of a graph, aliases by Identity included."""
    stored = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == 'Identity' and node.input[0] in stored:
            stored[node.output[0]] = stored[node.input[0]]
        elif node.op_type == 'Constant' and node.attribute[0].name == 'value':
            stored[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return stored


def consumers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Nodes that read each tensor."""
    users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for value in dict.fromkeys(node.input):
            users[value].append(node)
    return users


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Node that computes each tensor."""
    return {value: node for node in model.graph.node for value in node.output}


def has_flag(node: onnx.NodeProto, name: str) -> bool:
    """Whether an integer attribute, such as ``transB`` of Gemm, is there and not 0."""
    return any(item.name == name and item.i for item in node.attribute)


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


def with_outputs(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Copy a graph so that it also returns inner tensors.

    Args:
        model: The graph.
        names: Tensors to return; its own inputs and outputs are skipped.

    Returns:
        The copy.
    """
    watched = clone(model)
    known = {value.name for value in [*watched.graph.input, *watched.graph.output]}
    typed = {value.name: value for value in watched.graph.value_info}
    watched.graph.output.extend(typed.get(name, onnx.ValueInfoProto(name=name)) for name in names
                                if name not in known)
    return watched


def keep_outputs(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """Copy a graph that returns its first outputs only; the others stay tensors within it.

    Args:
        model: The graph.
        count: Outputs to return.
    """
    kept = clone(model)
    known = {value.name for value in kept.graph.value_info}
    kept.graph.value_info.extend(value for value in kept.graph.output[count:]
                                 if value.name not in known)
    del kept.graph.output[count:]
    return kept
