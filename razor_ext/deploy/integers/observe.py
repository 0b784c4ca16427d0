"""Ranges of inner tensors over calibration inputs."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx

from ..onnx_graph import clone, with_outputs
from ..session import open_session
from .grids import Grid
from .quantizer_nodes import QuantizerNodes


def fake_quantized(model: onnx.ModelProto,
                   operands: Mapping[tuple[str, int], Grid]) -> onnx.ModelProto:
    """Put what the layers of a float graph read on their trained grids, as training did.

    A model that was trained with its activations clipped may grow without bound where they are not,
    and the ranges seen there are those of another model.

    Args:
        model: Float graph, weights on their grids.
        operands: Grid of one input of one node, by (first output of the node, position).

    Returns:
        A new graph, with the tensors of `model` under their names.
    """
    writer = QuantizerNodes()
    known: dict[tuple[str, Grid], str] = {}
    for node in model.graph.node:
        reader = clone(node)
        for position, value in enumerate(node.input):
            grid = operands.get((node.output[0], position))
            if grid is None:
                continue
            if (value, grid) not in known:
                known[value, grid] = f'~on_grid{len(known)}'
                writer.quantize(value, grid, known[value, grid])
            reader.input[position] = known[value, grid]
        writer.nodes.append(reader)
    return writer.assemble(model)


def observe(model: onnx.ModelProto, names: Iterable[str],
            batches: Sequence[Mapping[str, np.ndarray]]) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of tensors over calibration batches.

    Args:
        model: Float graph.
        names: Tensors to watch.
        batches: Inputs by name, at least one.

    Returns:
        Range per tensor.
    """
    names = list(names)
    session = open_session(with_outputs(model, names).SerializeToString(), threads=0)
    ranges: dict[str, tuple[float, float]] = {}
    for batch in batches:
        for name, value in zip(names, session.run(names, dict(batch))):
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
    return ranges
