"""Integers for a finished float model, by calibration and measured sensitivity."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from razor_ext.quantization import (
    LayerCost,
    QuantConfig,
    QuantizedLayerInfo,
    QuantMatmul,
    count_costs,
    quantize_model,
    remove_quantizers,
)
from razor_ext.quantization.allocation import Side, allocate_bits
from razor_ext.quantization.sensitivity import WidthGrids, measure_sensitivity

from .samples import Samples, held_loss, outputs, stacked

#: How ranges of activations are found; what does best on the images to choose on is taken.
RANGES = ('mse', 'percentile', 'minmax')
#: Images that the sensitivity is measured on.
_MEASURED = 64


def quantize(model: nn.Module, config: QuantConfig, products: Mapping[str, int], data: Any,
             samples: Samples, budget: Callable[[list[LayerCost], list[Side]], float | None],
             tell: Callable[[str], None]) -> tuple[list[QuantizedLayerInfo], dict[str, Any]]:
    """Quantize a model in place, its bits chosen and fixed.

    Args:
        model: float, in evaluation mode.
        config: what is quantized; its bits are the range.
        products: of `find_products`.
        data: example inputs, to count costs on.
        samples: images.
        budget: largest BOPs from the layers' costs and the quantized sides; None for the most bits.
        tell: takes lines for the log.

    Returns:
        What is quantized and why not; and figures for the record.
    """
    def run(net: nn.Module, batch: Mapping[str, Any]) -> Any:
        return net(**batch, mode='loss')

    config = _deployable(model, config, products)
    tried = {}
    for method in RANGES:
        infos = quantize_model(model, config, products)
        grids = WidthGrids(model, samples.fit, only_most=True, method=method, weight_method='mse',
                           run=run)
        grids.place({side: widths[-1] for side, widths in grids.widths.items()})
        tried[method] = held_loss(model, samples)
        remove_quantizers(model)
    method = min(tried, key=lambda name: tried[name])
    tell(f'ranges of activations by {method}: held-out loss '
         + ', '.join(f'{name} {loss:.4f}' for name, loss in tried.items()))
    infos = quantize_model(model, config, products)
    limit = budget(count_costs(model, data), list(_sides(infos)))
    grids = WidthGrids(model, samples.fit, only_most=limit is None, method=method,
                       weight_method='mse', run=run)
    figures: dict[str, Any] = {'ranges': tried}
    if limit is None:
        bits = {side: widths[-1] for side, widths in grids.widths.items()}
    else:
        bits, figures['sensitivity'] = _search(model, grids, data, samples, limit, tell)
    grids.place(bits)
    figures['bits'] = {'.'.join(side): width for side, width in bits.items()}
    return infos, figures


def _deployable(model: nn.Module, config: QuantConfig, products: Mapping[str, int]) -> QuantConfig:
    """Return a config that gives stacked matrices one step for all.

    ONNX Runtime's kernels multiply them by steps per channel for a single matrix only.
    """
    infos = quantize_model(model, config, products)
    stacked_layers = [info.name for info in infos
                      if info.weight is not None and isinstance(info.module, QuantMatmul)]
    remove_quantizers(model)
    return replace(config, layers={**config.layers, **{
        name: {'weight_granularity': 'tensor', **config.layers.get(name, {})}
        for name in stacked_layers}})


def _search(model: nn.Module, grids: WidthGrids, data: Any, samples: Samples, limit: float,
            tell: Callable[[str], None]) -> tuple[dict[Side, int], dict[str, dict[int, float]]]:
    batch = stacked(samples.fit, _MEASURED)

    def progress(done: int, total: int) -> None:
        if done % 20 == 0 or done == total:
            tell(f'sensitivity of {done} of {total} quantized sides')

    losses = measure_sensitivity(model, grids, [batch], outputs, tell=progress)
    bits = allocate_bits(count_costs(model, data), losses, limit)
    return bits, {'.'.join(side): widths for side, widths in losses.items()}


def _sides(infos: Sequence[QuantizedLayerInfo]) -> list[Side]:
    return [(info.name, side) for info in infos if info.reason is None
            for side in (*(['weight'] if info.weight_quantizer is not None else []),
                         *info.operand_quantizers)]


@torch.no_grad()
def uniform_bops(layers: Sequence[LayerCost], sides: Sequence[Side], width: float) -> float:
    """Return the BOPs of layers with every quantized side at one width, which may be a fraction."""
    total = 0.0
    for layer in layers:
        own = {side for name, side in sides if name == layer.name}
        for macs, *factors in layer.products:
            left, right = (width if side in own else 32.0 for side in factors)
            total += macs * left * right
    return total
