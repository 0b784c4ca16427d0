"""Nodes that run on integers, and the graph they are in."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from .grids import Grid
from .match import MatchedLayer


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
