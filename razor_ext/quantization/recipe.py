"""quant.json: the learned grids of a model, complete enough to rebuild them bit for bit.

    version             2; 1 knew no products of attention and no embeddings
    structure           hash of the float model's parameter and buffer names and shapes
    layers              layer name ->
        type            float type of the layer
        weight          null, or a grid with `parameter` and `channel_dim` (null where per tensor)
        activations     operand name -> grid
    float_layers        layer name -> why it is not quantized

    grid: bits, scheme, granularity ('tensor' or 'channel'), d, q_m (lists), t, zero_point,
    container (the smallest of [u]int4, [u]int8, [u]int16), and `state`, the parameters behind d,
    q_m and t: log_q_m, log_t, zero_ratio (null where absent).
"""
from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from razor_ext.engine.atomic import write_json

from .convert import QuantizedLayerInfo, quantized_layers
from .errors import QuantFileError
from .functional import to_integers
from .layers import QuantLayer, type_name
from .quantizer import Quantizer

#: Version that is written, and all that are read.
VERSION, READABLE = 2, (1, 2)


def structure_hash(model: nn.Module) -> str:
    """Return the SHA-256 of the names and shapes of the float model's parameters and buffers."""
    prefixes = tuple(f'{name}.' for name, m in model.named_modules(remove_duplicate=False)
                     if isinstance(m, Quantizer))
    lines = [f'{key} {tuple(value.shape)}' for key, value in sorted(model.state_dict().items())
             if not key.startswith(prefixes)]
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def container_of(bits: int, scheme: str) -> str:
    """Return the smallest standard integer type for a width."""
    width = next(w for w in (4, 8, 16) if bits <= w)
    return f'int{width}' if scheme == 'signed' else f'uint{width}'


@torch.no_grad()
def integer_weights(module: QuantLayer) -> tuple[Tensor, Tensor]:
    """Return the weight of a quantized layer as integers (int32) and their step d.

    integers * d equals the fake-quantised weight bit for bit.
    """
    quantizer = module.weight_quantizer_or_none
    if quantizer is None:
        raise QuantFileError(f'{type(module).__name__} has no quantized weight')
    return to_integers(module.quantize_weight(), quantizer.d), quantizer.d


def _numbers(tensor: Tensor | None) -> list[float] | None:
    return None if tensor is None else tensor.detach().double().flatten().tolist()


def _grid(quantizer: Quantizer) -> dict[str, Any]:
    if not quantizer.calibrated:
        raise QuantFileError(f'{quantizer.name} is not calibrated; there is no grid to write')
    if quantizer.fixed_bits is None:
        raise QuantFileError(f'{quantizer.name} has {quantizer.bits().item():.3f} bits, not bound '
                             'to a whole width; call fix_bits(model) before writing')
    return {
        'bits': quantizer.fixed_bits,
        'scheme': quantizer.scheme,
        'granularity': 'tensor' if quantizer.log_q_m.dim() == 1 else 'channel',
        'd': _numbers(quantizer.d),
        'q_m': _numbers(quantizer.q_m),
        't': 1.0 if quantizer.t is None else quantizer.t.item(),
        'zero_point': int(quantizer.zero_point),
        'container': container_of(quantizer.fixed_bits, quantizer.scheme),
        'state': {key: _numbers(getattr(quantizer, key))
                  for key in ('log_q_m', 'log_t', 'zero_ratio')},
    }


def quant_spec(model: nn.Module, infos: Iterable[QuantizedLayerInfo] = ()) -> dict[str, Any]:
    """Return the content of quant.json.

    Args:
        model: quantized, its bit widths fixed by `fix_bits`.
        infos: what `quantize_model` returned, for the reasons of the float layers.

    Raises:
        QuantFileError: nothing is quantized, or a quantizer is not calibrated or not fixed.
    """
    layers = {}
    for name, module in quantized_layers(model):
        weight = None
        if module.weight_quantizer_or_none is not None:
            weight = _grid(module.weight_quantizer_or_none)
            weight['parameter'] = module.weight_name
            per_channel = weight['granularity'] == 'channel'
            weight['channel_dim'] = module.weight_channel_dim if per_channel else None
        layers[name] = {
            'type': type_name(module.float_type),
            'weight': weight,
            'activations': {o: _grid(q) for o, q in module.operand_quantizers().items()},
        }
    if not layers:
        raise QuantFileError('the model has no quantized layer; call quantize_model(model, config)')
    return {'version': VERSION, 'structure': structure_hash(model), 'layers': layers,
            'float_layers': {i.name: i.reason for i in infos if i.reason is not None}}


def save_quant(path: str | os.PathLike, model: nn.Module,
               infos: Iterable[QuantizedLayerInfo] = ()) -> None:
    """Write quant.json atomically; see `quant_spec`."""
    write_json(path, quant_spec(model, infos))


def slice_spec(spec: Mapping[str, Any], sliced: nn.Module,
               kept: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the spec of a sliced model, from that of the model before slicing.

    Args:
        spec: from `quant_spec`.
        sliced: float model after slicing.
        kept: weight parameter name to the positions kept along its output channels, ascending; a
            weight that is not named keeps all. Only scales per channel need it.
    """
    result = copy.deepcopy(dict(spec))
    result['structure'] = structure_hash(sliced)
    for name, layer in result['layers'].items():
        grid = layer['weight']
        if grid is None or grid['granularity'] == 'tensor':
            continue
        positions = kept.get(f"{name}.{grid['parameter']}")
        if positions is None:
            continue
        for values in (grid, grid['state']):
            for key in {'d', 'q_m', 'log_q_m'} & set(values):
                values[key] = [values[key][i] for i in positions.tolist()]
    return result
