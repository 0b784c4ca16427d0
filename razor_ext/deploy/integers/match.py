"""Which node of an exported graph is which quantized torch layer.

Names change on the way (rewriters, BatchNorm folded into convolutions), weights do not: a folded
weight is the torch weight times one factor per output channel.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from ..errors import DeployError
from ..onnx_graph import CONTRACTIONS, has_flag, stored_tensors
from .grids import LayerGrids

TOLERANCE = 1e-4


@dataclass(frozen=True)
class MatchedLayer:
    """A torch layer and its node.

    Args:
        layer: Grids of the torch layer.
        node: Conv, Gemm or MatMul.
        operands: Positions of the activation inputs of the node, as in ``layer.inputs``.
        weight: Name of the stored weight, None without one.
        axes: Permutation that takes the torch weight to the stored one.
        channel_axis: Output channels of the stored weight.
        factor: What each output channel was multiplied by, [channels].
    """

    layer: LayerGrids
    node: onnx.NodeProto
    operands: tuple[int, ...]
    weight: str | None = None
    axes: tuple[int, ...] = ()
    channel_axis: int = 0
    factor: np.ndarray | None = None


def match_layers(model: onnx.ModelProto, layers: Sequence[LayerGrids]) -> list[MatchedLayer]:
    """Find the node of every quantized layer.

    Layers without a weight of their own take the products of two activations in order.

    Args:
        model: Float graph exported from the model the layers were read from.
        layers: Quantized layers.

    Returns:
        One match per node; a layer that is used twice has two.

    Raises:
        DeployError: If a layer has no node.
    """
    stored = stored_tensors(model)
    contractions = [node for node in model.graph.node if node.op_type in CONTRACTIONS]
    products = iter([node for node in contractions if not set(node.input) & set(stored)])
    matches: list[MatchedLayer] = []
    for layer in layers:
        if layer.weight is None:
            pairs = len(layer.inputs) // 2
            nodes = [node for _, node in zip(range(pairs), products)]
            matches.extend(MatchedLayer(
                LayerGrids(layer.name, None, None, None, layer.inputs[2 * i:2 * i + 2],
                           layer.refused), node, (0, 1)) for i, node in enumerate(nodes))
            found = len(nodes) == pairs
        else:
            candidates = [_match(node, layer, stored) for node in contractions]
            matches.extend(match for match in candidates if match is not None)
            found = any(match is not None for match in candidates)
        if not found:
            raise DeployError(
                f'layer {layer.name!r} is quantized, but the exported graph has no node with its '
                'weight: the checkpoint, the structure and quant.json do not belong together')
    return matches


def _match(node: onnx.NodeProto, layer: LayerGrids,
           stored: dict[str, np.ndarray]) -> MatchedLayer | None:
    weight = layer.weight
    assert weight is not None  # products of two activations are matched in order
    for position in (1, 0):
        name = node.input[position]
        if name not in stored or stored[name].ndim != weight.ndim:
            continue
        for axes, channel in _layouts(node, weight.ndim):
            laid = weight.transpose(axes)
            if laid.shape != stored[name].shape:
                continue
            factor = _factor(laid, stored[name], channel)
            if factor is not None:
                return MatchedLayer(layer, node, (1 - position,), name, axes, channel, factor)
    return None


def _layouts(node: onnx.NodeProto, ndim: int) -> list[tuple[tuple[int, ...], int]]:
    """Permutations of the torch weight a node may hold, with the axis of output channels."""
    plain = tuple(range(ndim))
    swapped = (*plain[:-2], plain[-1], plain[-2])
    if node.op_type == 'Conv':
        return [(plain, 0)]
    channel = ndim - 2 if has_flag(node, 'transB') else ndim - 1
    return [(plain, channel), (swapped, channel)]


def _factor(torch_weight: np.ndarray, stored: np.ndarray, channel: int) -> np.ndarray | None:
    """Factor per channel with stored = factor * torch_weight, None if there is none."""
    rest = tuple(axis for axis in range(stored.ndim) if axis != channel)
    wide = torch_weight.astype(np.float64)
    norm = (wide ** 2).sum(rest)
    factor = (wide * stored).sum(rest) / np.where(norm, norm, 1)
    error = np.abs(wide * along_axis(factor, channel, stored.ndim) - stored).max()
    return factor if error <= TOLERANCE * max(np.abs(stored).max(), 1e-12) else None


def along_axis(scale: np.ndarray, axis: int, ndim: int) -> np.ndarray:
    """Shape a vector so that it broadcasts along one axis of `ndim`."""
    shape = [1] * ndim
    shape[axis] = -1
    return scale.reshape(shape)
