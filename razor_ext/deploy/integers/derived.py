"""Weights that a graph cuts out of others, by the sizes of its inputs.

With a dynamic batch PyTorch's exporter writes the in-projection of an attention between two inputs
as slices of the packed weight, whose bounds come from shapes.
"""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from ..onnx_graph import CONTRACTIONS, clone, producers, stored_tensors, with_outputs
from ..session import open_session

#: Operators that take parts of a tensor, their first input.
CUTTING = frozenset({'Slice', 'Split', 'Transpose'})


def fold_derived(model: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Store the weights that depend on stored tensors and sizes alone.

    Args:
        model: Float graph.
        feed: An input by name, of the sizes that weights depend on.

    Returns:
        The graph itself where there are none, else a copy.
    """
    stored, produced = stored_tensors(model), producers(model)
    sizes = set(stored)
    for node in model.graph.node:
        if node.op_type == 'Shape' or all(not value or value in sizes for value in node.input):
            sizes.update(node.output)

    def is_cut(value: str) -> bool:
        node = produced.get(value)
        return value in stored or (node is not None and node.op_type in CUTTING
                                   and sizes.issuperset(node.input[1:]) and is_cut(node.input[0]))

    wanted = list(dict.fromkeys(
        value for node in model.graph.node if node.op_type in CONTRACTIONS
        for value in node.input if value not in stored and is_cut(value)))
    if not wanted:
        return model
    session = open_session(with_outputs(model, wanted).SerializeToString(), threads=0)
    values = dict(zip(wanted, session.run(wanted, dict(feed))))
    folded = clone(model)
    kept = [node for node in folded.graph.node if values.keys().isdisjoint(node.output)]
    del folded.graph.node[:]
    folded.graph.node.extend(kept)
    folded.graph.initializer.extend(numpy_helper.from_array(value, name)
                                    for name, value in values.items())
    return folded
