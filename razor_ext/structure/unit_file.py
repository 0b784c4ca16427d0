"""units.json: the analysed channel units of a dense model, so that it is sliced without tracing.

    version             1
    dense               hash of the dense model: see `dense_hash`
    demo_input, keep    what the model was analysed with
    units               list of ->
        name, num_channels, macs_per_channel, params_per_channel
        members, outputs    lists of ->
            name, dim, role
            shape           [num_channels, k] of the positions
            order           'C' or 'F': row c by row, or column by column
            runs            the positions in that order, as runs of [start, step, count]
"""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from razor_ext.engine.atomic import atomic_write
from razor_ext.engine.json_file import JsonError, read_json
from razor_ext.graph import ChannelUnit, UnitMember
from razor_ext.graph.slicing import removed_positions
from razor_ext.graph.stand_ins import orders
from razor_ext.graph.structure import leaf_tensors
from razor_ext.quantization import Quantizer

from .fix_subnet import StructureError

VERSION = 1
#: Positions of a member: more than any model has channels, and than a file may make memory of.
_MOST_POSITIONS = 1 << 26
Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class AnalysedUnits:
    """Content of units.json.

    Attributes:
        units: the units of the dense model, in execution order.
        dense: `dense_hash` of the dense model.
        demo_input: what made the input on which it was traced; None for the model's default.
        keep: modules and parameters that were left whole.
    """

    units: tuple[ChannelUnit, ...]
    dense: str
    demo_input: Any = None
    keep: tuple[str, ...] = ()


def model_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the saved parameters and buffers of a model as it was built.

    Those of quantizers do not count, nor what slicing notes of the order of channels.
    """
    prefixes = tuple(f'{name}.' for name, module in model.named_modules()
                     if isinstance(module, Quantizer))
    saved = set(model.state_dict()) - set(orders(model))
    return {name: tuple(tensor.shape) for name, tensor in leaf_tensors(model).items()
            if name in saved and not name.startswith(prefixes)}


def dense_shapes(model: nn.Module, structure: Mapping[str, int],
                 units: Sequence[ChannelUnit]) -> dict[str, tuple[int, ...]]:
    """Return the shapes that a sliced model had before it was sliced.

    Args:
        model: the sliced model.
        structure: channels kept by unit.
        units: the units of the dense model.
    """
    keep = {unit.name: torch.arange(unit.num_channels) < structure[unit.name]
            for unit in units if unit.name in structure}
    shapes = {name: list(shape) for name, shape in model_shapes(model).items()}
    for (name, dim), positions in removed_positions(units, keep).items():
        if name in shapes:
            shapes[name][dim] += len(positions)
    return {name: tuple(shape) for name, shape in shapes.items()}


def dense_hash(shapes: Shapes, demo_input: Any = None, keep: Sequence[str] = ()) -> str:
    """Return the SHA-256 that names a dense model and how it was analysed.

    Args:
        shapes: of its saved parameters and buffers, by name.
        demo_input: config of the input on which it was traced.
        keep: modules and parameters that were left whole.
    """
    content = [sorted((name, list(shape)) for name, shape in shapes.items()), demo_input,
               list(keep)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def save_units(path: str | os.PathLike, analysed: AnalysedUnits) -> None:
    """Write units.json atomically, a unit to a line."""
    head = dict(version=VERSION, dense=analysed.dense, demo_input=analysed.demo_input,
                keep=list(analysed.keep))
    lines = [f'"{key}": {json.dumps(value)}' for key, value in head.items()]
    units = ',\n    '.join(json.dumps(_encode_unit(unit)) for unit in analysed.units)
    with atomic_write(path) as temporary:
        temporary.write_text('{' + ',\n '.join([*lines, f'"units": [\n    {units}]']) + '}\n',
                             encoding='utf-8')


def load_units(path: str | os.PathLike) -> AnalysedUnits:
    """Read units.json.

    Raises:
        StructureError: it is damaged, or of another version; names the file and the value.
    """
    advice = 'delete it, and the units are analysed again'
    try:
        content = read_json(path)
    except JsonError as error:
        raise StructureError(f'{path} is not valid JSON ({error}); it is corrupt: {advice}') \
            from error
    version = content.get('version') if isinstance(content, dict) else None
    if version != VERSION:
        raise StructureError(f'{path} has version {version!r:.80}, only {VERSION} is known; '
                             f'{advice}, or update razor_ext')
    try:
        dense, keep = content['dense'], content['keep']
        if not isinstance(dense, str) or not isinstance(keep, list) or not all(
                isinstance(name, str) for name in keep):
            raise ValueError(f'dense is {dense!r:.80} and keep {keep!r:.80}')
        return AnalysedUnits(tuple(_decode_unit(entry) for entry in content['units']), dense,
                             content['demo_input'], tuple(keep))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StructureError(f'{path} is damaged ({type(error).__name__}: {str(error)[:300]}): '
                             f'{advice}') from error


def _encode_unit(unit: ChannelUnit) -> dict[str, Any]:
    return dict(name=unit.name, num_channels=unit.num_channels,
                macs_per_channel=unit.macs_per_channel,
                params_per_channel=unit.params_per_channel,
                members=[_encode_member(member) for member in unit.members],
                outputs=[_encode_member(member) for member in unit.outputs])


def _decode_unit(entry: Mapping[str, Any]) -> ChannelUnit:
    count = _integer(entry['num_channels'], 'num_channels', 1)
    members, outputs = (tuple(_decode_member(member, count) for member in entry[key])
                        for key in ('members', 'outputs'))
    macs, params = (_integer(entry[key], key)
                    for key in ('macs_per_channel', 'params_per_channel'))
    return ChannelUnit(str(entry['name']), count, members, outputs, macs, params)


def _encode_member(member: UnitMember) -> dict[str, Any]:
    positions = member.indices.numpy()
    order, runs = min((('C', _runs(positions.ravel('C'))), ('F', _runs(positions.ravel('F')))),
                      key=lambda found: len(found[1]))
    return dict(name=member.name, dim=member.dim, role=member.role, shape=list(positions.shape),
                order=order, runs=runs)


def _decode_member(entry: Mapping[str, Any], num_channels: int) -> UnitMember:
    rows, columns = (_integer(size, 'shape', 1) for size in entry['shape'])
    if rows * columns > _MOST_POSITIONS:
        raise ValueError(f'{rows} x {columns} positions')
    name, order, role = str(entry['name']), entry['order'], entry['role']
    runs = [(_integer(start, 'start'), _integer(step, 'step', None), _integer(count, 'count', 1))
            for start, step, count in entry['runs']]
    if sum(count for _, _, count in runs) != rows * columns or rows != num_channels:
        raise ValueError(f'{name:.100}: the runs do not give positions [{num_channels}, {columns}]')
    if order not in ('C', 'F') or role not in ('in', 'out'):
        raise ValueError(f'{name:.100}: order {order!r:.40}, role {role!r:.40}')
    ends = [end for start, step, count in runs for end in (start, start + step * (count - 1))]
    if min(ends) < 0 or max(ends) > 2 ** 40:
        raise ValueError(f'{name:.100}: the positions {min(ends)!r:.40} to {max(ends)!r:.40}')
    positions = np.concatenate([start + step * np.arange(count, dtype=np.int64)
                                for start, step, count in runs])
    positions = np.ascontiguousarray(positions.reshape((rows, columns), order=order))
    return UnitMember(name, _integer(entry['dim'], 'dim'), torch.from_numpy(positions), role)


def _integer(value: Any, what: str, least: int | None = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) \
            or (least is not None and value < least):
        raise ValueError(f'{what} is {value!r:.80}')
    return value


def _runs(values: np.ndarray) -> list[list[int]]:
    """Split numbers into runs of equal steps, from the left, each [start, step, count]."""
    steps = np.diff(values)
    breaks = np.flatnonzero(np.diff(steps)) + 1  # where another step than the one before begins
    runs, at = [], 0
    while at < len(values):
        if at == len(steps):
            runs.append([int(values[at]), 1, 1])
            break
        following = breaks[np.searchsorted(breaks, at, 'right'):][:1]
        stop = int(following[0]) if len(following) else len(steps)
        runs.append([int(values[at]), int(steps[at]), stop - at + 1])
        at = stop + 1
    return runs
