"""Figures of the quantizers of a model, by layer and quantized side."""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from razor_ext.quantization import LayerCost, quantized_layers, quantizer_handles

from .bit_budget import Product
from .stages import BitRange

#: A width this near to a whole number is one: step sizes are held as float32 logarithms.
WHOLE = 1e-3


def by_layer(model: nn.Module, figures: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Turn figures by the name of a quantizer into figures by layer and side.

    Args:
        model: has the quantizers; layers that share one get the same figure.
        figures: one for each.
    """
    of = {id(handle.quantizer): figures[handle.name] for handle in quantizer_handles(model)}
    return {name: {side: of[id(quantizer)] for side, quantizer in layer.quantizers().items()}
            for name, layer in quantized_layers(model)}


def bits_in_range(model: nn.Module, ranges: Mapping[str, BitRange]) -> dict[str, float]:
    """Return the present bit widths by quantizer, moved into their final ranges.

    Args:
        model: has the quantizers; one that is not calibrated yet counts with its most bits.
        ranges: of each quantizer.
    """
    bits = {}
    for handle in quantizer_handles(model):
        low, high = ranges[handle.name].min_bits, ranges[handle.name].max_bits
        now = handle.quantizer.bits().item() if handle.quantizer.calibrated else float(high)
        whole = round(now)
        bits[handle.name] = min(max(whole if abs(now - whole) < WHOLE else now, low), high)
    return bits


def bit_products(model: nn.Module, costs: Iterable[LayerCost]) -> list[Product]:
    """Return the products of a structure, with the numbers of the quantizers of both sides.

    Args:
        model: has the quantizers, numbered as `quantizer_handles` lists them.
        costs: of the structure.
    """
    numbers = {id(handle.quantizer): number
               for number, handle in enumerate(quantizer_handles(model))}
    sides: dict[tuple[str, str | None], int] = {
        (name, side): numbers[id(quantizer)] for name, layer in quantized_layers(model)
        for side, quantizer in layer.quantizers().items()}
    return [(macs, sides.get((cost.name, left)), sides.get((cost.name, right)))
            for cost in costs for macs, left, right in cost.products]
