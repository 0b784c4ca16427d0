"""Read quant.json strictly and rebuild the quantizers it describes."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from razor_ext.engine.json_file import JsonError, read_json

from .config import MAX_BITS, MIN_BITS, QuantConfig, closest
from .convert import QuantizedLayerInfo, layer_types, quantize_model, remove_quantizers
from .errors import QuantConfigError, QuantFileError
from .functional import SIGN_BITS
from .layers import QuantLayer, type_name
from .products import products_in
from .quantizer import Quantizer
from .recipe import READABLE, container_of, structure_hash

_GRID_KEYS = ('bits', 'scheme', 'granularity', 'd', 'q_m', 't', 'zero_point', 'container', 'state')
_STATE_KEYS = ('log_q_m', 'log_t', 'zero_ratio')


def load_quant(path: str | os.PathLike) -> dict[str, Any]:
    """Read and check quant.json.

    Raises:
        QuantFileError: the file is missing, is no JSON, has another version, or a key is missing or
            holds a value that cannot be; the message names the key and the value.
    """
    place = os.fspath(path)
    if not Path(path).is_file():
        raise QuantFileError(f'{place!r} does not exist; save_quant() writes such a file')
    try:
        spec = read_json(path)
    except JsonError as error:
        raise QuantFileError(f'{place!r} is not valid JSON ({error}); write it again') from error
    check_spec(spec, place)
    return spec


def apply_quant(model: nn.Module, spec: Mapping[str, Any]) -> list[QuantizedLayerInfo]:
    """Quantize a float model, in place, exactly as `spec` says; bit widths are fixed.

    Args:
        model: float model of the structure `spec` was written for (already sliced if that was).
        spec: from `load_quant`.

    Returns:
        As `quantize_model`.

    Raises:
        QuantFileError: a layer is missing on either side, is of another type, has another number of
            channels, or the structures differ. The model is then unchanged.
    """
    check_spec(spec)
    modules = dict(model.named_modules())
    products = {name: products_in(list(layer['activations']))
                for name, layer in spec['layers'].items()}
    types = layer_types(model, products)
    float_layers = dict(spec['float_layers'])
    for name, layer in spec['layers'].items():
        _check_layer(name, layer, modules, types.get(name))
    for name, quant_type in types.items():
        if name in spec['layers'] or name in float_layers:
            continue
        if quant_type.since > spec['version']:
            float_layers[name] = f"quant.json of version {spec['version']} knows no such layer"
        else:
            raise QuantFileError(f'layer {name!r} of the model is in neither layers nor '
                                 'float_layers of quant.json; it was written for another model')
    found = structure_hash(model)
    if found != spec['structure']:
        raise QuantFileError(f"structure is {spec['structure']!r}, but the model's is {found!r}: "
                             'quant.json was written for other channels; slice the model by the '
                             'fix_subnet.json of the same run first')
    try:
        infos = quantize_model(model, QuantConfig(
            weight_bits=None, activation_bits=None, float_layers=float_layers,
            layers={name: _layer_settings(layer) for name, layer in spec['layers'].items()}),
            products)
    except QuantConfigError as error:
        raise QuantFileError(f'quant.json does not fit the model: {error}') from error
    try:
        for info in infos:
            layer = spec['layers'].get(info.name)
            if layer is None:
                continue
            if info.weight_quantizer is not None:
                _restore(info.weight_quantizer, layer['weight'])
            for operand, quantizer in info.operand_quantizers.items():
                _restore(quantizer, layer['activations'][operand])
    except QuantFileError:
        remove_quantizers(model)
        raise
    return infos


def _check_layer(name: str, layer: Mapping[str, Any], modules: Mapping[str, nn.Module],
                 quant_type: type[QuantLayer] | None) -> None:
    key = f'layers[{name!r}]'
    if name not in modules:
        raise QuantFileError(f'{key}: the model has no such layer{closest(name, modules)}')
    module = modules[name]
    own_type = type_name(type(module))
    _require(own_type == layer.get('type'), f'{key}.type', layer.get('type'),
             f'{own_type!r}, as in this model')
    if quant_type is None:
        raise _misfit(f'{key}.type', own_type, 'registered by register_quant_layer()')
    operands = set(layer['activations'])
    _require(operands in (set(), set(quant_type.operands)), f'{key}.activations', sorted(operands),
             f'empty or {sorted(quant_type.operands)}')
    grid = layer['weight']
    if grid is None:
        return
    _require(grid.get('parameter') == quant_type.weight_name and quant_type.weight_name is not None,
             f'{key}.weight.parameter', grid.get('parameter'), repr(quant_type.weight_name))
    if grid['granularity'] == 'channel':
        channels = quant_type.weight_of(module).shape[quant_type.weight_channel_dim]
        _require(len(grid['d']) == channels, f'{key}.weight.d', f"{len(grid['d'])} numbers",
                 f'{channels} numbers, one for each output channel')


def _layer_settings(layer: Mapping[str, Any]) -> dict[str, Any]:
    weight, activations = layer['weight'], list(layer['activations'].values())
    settings: dict[str, Any] = {}
    if weight is not None:
        settings.update(weight_bits=(weight['bits'],) * 2, weight_granularity=weight['granularity'],
                        weight_power=weight['state'].get('log_t') is not None)
    if activations:
        first = activations[0]
        learned_zero = first['state'].get('zero_ratio') is not None
        settings.update(activation_bits=(first['bits'],) * 2,
                        activation_scheme='auto' if learned_zero else first['scheme'],
                        activation_power=first['state'].get('log_t') is not None)
    return settings


@torch.no_grad()
def _restore(quantizer: Quantizer, grid: Mapping[str, Any]) -> None:
    for key in ('log_t', 'zero_ratio'):
        given, wanted = grid['state'].get(key), getattr(quantizer, key)
        _require((given is None) == (wanted is None), f'{quantizer.name}: state.{key}', given,
                 'null' if wanted is None else 'a list of one number')
    quantizer.restore(grid['scheme'], grid['bits'], grid['state'])
    rebuilt = {'d': quantizer.d, 'q_m': quantizer.q_m, 'zero_point': quantizer.zero_point,
               't': torch.ones(1) if quantizer.t is None else quantizer.t}
    for key, value in rebuilt.items():
        value = value.double().cpu().flatten()
        stored = torch.tensor(grid[key], dtype=torch.float64).expand_as(value)
        # Another device may round exp() differently in the last place; more is a damaged file.
        _require(torch.allclose(value, stored, rtol=1e-5, atol=0), f'{quantizer.name}: {key}',
                 grid[key], f'{value.tolist()!r:.100}, which follows from bits and state')


def check_spec(spec: Any, place: str = 'quant.json') -> None:
    """Raise QuantFileError unless `spec` has the form of the module docstring."""
    _require(isinstance(spec, Mapping), place, spec, 'a mapping')
    version = spec.get('version')
    _require(type(version) is int and version in READABLE, f'{place}: version', version,
             f'one of {READABLE}, which this package reads')
    _check_keys(spec, place, ('version', 'structure', 'layers', 'float_layers'))
    for key, kind in (('structure', str), ('layers', Mapping), ('float_layers', Mapping)):
        _require(isinstance(spec.get(key), kind), f'{place}: {key}', spec.get(key), kind.__name__)
    for name, layer in spec['layers'].items():
        key = f'{place}: layers[{name!r}]'
        _require(isinstance(layer, Mapping), key, layer, 'a mapping')
        _check_keys(layer, key, ('type', 'weight', 'activations'))
        _require(isinstance(layer.get('activations'), Mapping), f'{key}.activations',
                 layer.get('activations'), 'a mapping')
        _require('weight' in layer, f'{key}.weight', None, 'a grid or null')
        if layer['weight'] is not None:
            _check_grid(layer['weight'], f'{key}.weight', ('parameter', 'channel_dim'))
        for operand, grid in layer['activations'].items():
            _check_grid(grid, f'{key}.activations[{operand!r}]')
            _require(grid['granularity'] == 'tensor', f'{key}.activations[{operand!r}].granularity',
                     grid['granularity'], "'tensor'")


def _require(condition: bool, key: str, value: Any, wanted: str) -> None:
    if not condition:
        raise _misfit(key, value, wanted)


def _misfit(key: str, value: Any, wanted: str) -> QuantFileError:
    return QuantFileError(f'{key} is {value!r:.200}, but must be {wanted}')


def _check_keys(found: Mapping[str, Any], key: str, known: Sequence[str]) -> None:
    unknown = next((name for name in found if name not in known), None)
    if unknown is not None:
        hint = closest(unknown[:80], known)
        raise QuantFileError(f'{key} has the unknown key {unknown!r:.80}{hint}; known: '
                             f'{", ".join(known)}')


def _check_grid(grid: Any, key: str, further: Sequence[str] = ()) -> None:
    _require(isinstance(grid, Mapping), key, grid, 'a mapping')
    _check_keys(grid, key, (*_GRID_KEYS, *further))
    for name in _GRID_KEYS:
        _require(name in grid, f'{key}.{name}', None, 'present')
    bits, scheme, state = grid['bits'], grid['scheme'], grid['state']
    _require(isinstance(bits, int) and not isinstance(bits, bool) and MIN_BITS <= bits <= MAX_BITS,
             f'{key}.bits', bits, f'an integer in [{MIN_BITS}, {MAX_BITS}]')
    _require(isinstance(scheme, str) and scheme in SIGN_BITS, f'{key}.scheme', scheme,
             f'one of {tuple(SIGN_BITS)}')
    _require(grid['granularity'] in ('tensor', 'channel'), f'{key}.granularity',
             grid['granularity'], "'tensor' or 'channel'")
    _require(grid['container'] == container_of(bits, scheme), f'{key}.container',
             grid['container'], repr(container_of(bits, scheme)))
    _require(isinstance(state, Mapping), f'{key}.state', state, 'a mapping')
    _check_keys(state, f'{key}.state', _STATE_KEYS)
    for name in ('d', 'q_m'):
        _check_numbers(grid[name], f'{key}.{name}', positive=True)
    _check_numbers(state.get('log_q_m'), f'{key}.state.log_q_m')
    for name in ('log_t', 'zero_ratio'):
        if state.get(name) is not None:
            _check_numbers(state[name], f'{key}.state.{name}', length=1)
    length = len(state['log_q_m'])
    if grid['granularity'] == 'tensor':
        _require(length == 1, f'{key}.state.log_q_m', state['log_q_m'], 'one number per tensor')
    for name, number in (('t', (int, float)), ('zero_point', int)):
        _require(isinstance(grid[name], number) and not isinstance(grid[name], bool)
                 and abs(grid[name]) < 2 ** MAX_BITS, f'{key}.{name}', grid[name], 'a number')
    for name in ('d', 'q_m'):
        _require(len(grid[name]) == length, f'{key}.{name}', f'{len(grid[name])} numbers',
                 f'{length} numbers, as in state.log_q_m')


def _check_numbers(values: Any, key: str, positive: bool = False,
                   length: int | None = None) -> None:
    good = isinstance(values, list) and len(values) == (length or len(values)) and values and all(
        isinstance(v, (int, float)) and not isinstance(v, bool)
        and abs(v) < 1e38 and (v > 0 or not positive) for v in values)
    _require(bool(good), key, values, f'a list of {length or "one or more"} finite '
                                      f'{"positive " if positive else ""}numbers')
