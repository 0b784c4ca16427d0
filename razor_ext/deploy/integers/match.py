"""Which node of an exported graph is which quantized torch layer.

Names change on the way (rewriters, BatchNorm folded into convolutions), weights do not: a folded
weight is the torch weight times one factor per output channel.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import onnx

from ..errors import DeployError
from ..onnx_graph import CONTRACTIONS, has_flag, stored_tensors
from .grids import LayerGrids
from .products import FoundProduct, ProductSamples, locate_products

TOLERANCE = 1e-4


@dataclass(frozen=True)
class MatchedLayer:
    """A torch layer and its node.

    Args:
        layer: Grids of the torch layer.
        node: Conv, Gemm or MatMul; Gather for a table.
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


def match_layers(model: onnx.ModelProto, layers: Sequence[LayerGrids],
                 samples: ProductSamples | None = None) -> list[MatchedLayer]:
    """Find the node of every quantized layer.

    Args:
        model: Float graph exported from the model the layers were read from.
        layers: Quantized layers.
        samples: What their products multiply; without it the products of two activations in the
            graph are those of the layers, in order.

    Returns:
        One match per node; a layer that is used twice has two. A table whose rows became constants
        of the graph has none, nor have products that stay float.

    Raises:
        DeployError: If a layer has no node.
    """
    stored = stored_tensors(model)
    contractions = [node for node in model.graph.node if node.op_type in CONTRACTIONS]
    tables = [node for node in model.graph.node if node.op_type == 'Gather']
    products = [node for node in contractions if not set(node.input) & set(stored)]
    find = (_in_order(products) if samples is None or not products
            else locate_products(model, products, samples))
    matches: list[MatchedLayer] = []
    for layer in layers:
        if samples is not None and layer.weight is None and not any(layer.inputs):
            continue
        if layer.weight is None:
            pairs = list(zip(layer.operands[::2], layer.operands[1::2]))
            nodes = [find(layer.name, *pair) for pair in pairs]
            for index, calls in enumerate(nodes):
                matches.extend(_product(layer, index, found) for found in calls)
            lacking = None if all(nodes) else 'that multiplies its activations'
        else:
            found = _weighted(layer, contractions if layer.operands else tables, stored)
            matches.extend(found)
            # The exporter computes the rows that constants look up.
            lacking = None if found or not layer.operands else 'with its weight'
        if lacking:
            raise DeployError(
                f'layer {layer.name!r} is quantized, but the exported graph has no node {lacking}: '
                'the checkpoint, the structure and quant.json do not belong together')
    return matches


def _in_order(products: Sequence[onnx.NodeProto]) -> Callable[..., list[FoundProduct]]:
    """Give the next product to whoever asks."""
    supply = iter(products)
    return lambda *_: [FoundProduct(node, (1.0, 1.0)) for node in islice(supply, 1)]


def _product(layer: LayerGrids, index: int, found: FoundProduct) -> MatchedLayer:
    inputs = tuple(grid and replace(grid, scale=grid.scale * factor) for grid, factor in
                   zip(layer.inputs[2 * index:2 * index + 2], found.factors))
    own = replace(layer, inputs=inputs, operands=layer.operands[2 * index:2 * index + 2])
    return MatchedLayer(own, found.node, (0, 1))


def _weighted(layer: LayerGrids, nodes: Sequence[onnx.NodeProto],
              stored: dict[str, np.ndarray]) -> list[MatchedLayer]:
    """Nodes with a layer's weight, or with parts of it that make up the whole."""
    def matching(candidate: LayerGrids) -> list[MatchedLayer]:
        found = [_match(node, candidate, stored) for node in nodes]
        return [match for match in found if match is not None]

    whole = matching(layer)
    if whole or layer.parts == 1:
        return whole
    matches: list[MatchedLayer] = []
    first = 0
    while first < layer.parts:
        for last in range(layer.parts, first, -1):
            part = matching(layer.part(first, last))
            if part:
                break
        else:
            return []
        matches, first = matches + part, last
    return matches


def _match(node: onnx.NodeProto, layer: LayerGrids,
           stored: dict[str, np.ndarray]) -> MatchedLayer | None:
    weight = layer.weight
    assert weight is not None  # products of two activations have none
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
                operands = (1 - position,) if layer.operands else ()
                return MatchedLayer(layer, node, operands, name, axes, channel, factor)
    return None


def _layouts(node: onnx.NodeProto, ndim: int) -> list[tuple[tuple[int, ...], int]]:
    """Permutations of the torch weight a node may hold, with the axis of output channels."""
    plain = tuple(range(ndim))
    swapped = (*plain[:-2], plain[-1], plain[-2])
    if node.op_type in ('Conv', 'Gather'):
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
