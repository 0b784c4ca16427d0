"""Trained integers of a weight in the layout, and with the folded factors, of an ONNX graph."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import numpy_helper

from ..onnx_graph import clone, drop_unread
from .match import MatchedLayer, along_axis


@dataclass(frozen=True)
class FoldedWeight:
    """A weight as it is stored.

    Args:
        integers: Its integers.
        scale: Their steps, one or one per output channel.
        axis: Output channels.
    """

    integers: np.ndarray
    scale: np.ndarray
    axis: int

    @classmethod
    def of(cls, match: MatchedLayer) -> FoldedWeight:
        """Fold what the torch weight was multiplied by into the steps of its integers."""
        factor, integers, step = match.factor, match.layer.integers, match.layer.step
        assert factor is not None and integers is not None and step is not None  # on a grid
        if np.abs(factor - 1).max() < 1e-5:
            factor = np.ones(1)
        integers = integers.transpose(match.axes)
        step = step.reshape(-1).astype(np.float64)
        scale = np.abs(factor) * step
        scale = np.where(scale > 0, scale, step)  # a factor of 0 leaves nothing but zeros
        signs = along_axis(np.sign(factor).astype(np.int64), match.channel_axis, integers.ndim)
        return cls(integers * signs, scale.astype(np.float32), match.channel_axis)

    @property
    def values(self) -> np.ndarray:
        """Real values, float32."""
        steps = along_axis(self.scale, self.axis, self.integers.ndim)
        return (self.integers * steps).astype(np.float32)

    def refined(self, input_step: float, output_step: float) -> FoldedWeight:
        """Multiply narrow integers by a power of two where their steps are too coarse for the bias.

        The bias is rounded to input step times weight step. A smaller weight step with integers
        larger by as much is the same weight, and an int8 has room for it.
        """
        room, factor = 127 // max(1, int(np.abs(self.integers).max())), 1
        while 2 * factor <= room and self.scale.max() * input_step / factor > output_step / 8:
            factor *= 2
        return replace(self, integers=self.integers * factor, scale=self.scale / np.float32(factor))


def refuse_wide_bias(match: MatchedLayer, stored: Mapping[str, np.ndarray]) -> MatchedLayer:
    """Leave a layer in floating point whose bias is beyond what int32 holds in its steps.

    Args:
        match: A layer.
        stored: Stored tensors of the graph.
    """
    bias = match.node.input[2] if len(match.node.input) > 2 else ''
    if not bias or match.layer.refused:
        return match
    grid = match.layer.inputs[0]
    assert grid is not None  # or it would be refused
    with np.errstate(over='ignore'):
        units = np.abs(stored[bias] / (FoldedWeight.of(match).scale * grid.scale))
    if units.max() < 2 ** 31 - 1:
        return match
    layer = replace(match.layer, refused='a bias is beyond int32 in steps of input times weight')
    return replace(match, layer=layer)


def graph_on_grids(model: onnx.ModelProto, matches: Mapping[str, MatchedLayer],
                   weights: Mapping[str, FoldedWeight]) -> onnx.ModelProto:
    """Copy a float graph with its weights' values on their grids.

    Args:
        model: Float graph.
        matches: Layer by the first output of its node.
        weights: Weight by the first output of its node.

    Returns:
        The copy, still in float.
    """
    copied = clone(model)
    for node in copied.graph.node:
        output = node.output[0]
        if output in weights:
            name = f'{output}/weight'
            copied.graph.initializer.append(numpy_helper.from_array(weights[output].values, name))
            node.input[list(node.input).index(matches[output].weight)] = name
    drop_unread(copied.graph)
    return copied
