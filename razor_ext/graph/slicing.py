"""Slice parameters and buffers, and let module attributes follow."""
from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .errors import SliceError
from .fixers import Kept, find_fixer
from .stand_ins import conceal, expose
from .structure import leaf_aliases, leaf_tensors, structure_copy
from .units import ChannelUnit

Positions = Mapping[tuple[str, int], torch.Tensor]


def check_keep(units: Sequence[ChannelUnit], keep: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Validate a choice of channels.

    Args:
        units: The units of the model.
        keep: Unit name -> Boolean mask [num_channels] of the channels that stay.

    Returns:
        The same with BoolTensors on the CPU.

    Raises:
        SliceError: An unknown unit, a mask of the wrong size or type, or one that keeps nothing.
    """
    sizes = {unit.name: unit.num_channels for unit in units}
    checked = {}
    for name, mask in keep.items():
        if name not in sizes:
            raise SliceError(f'{name!r:.200} is not a unit of this graph; its units are '
                             f'{sorted(sizes)!r:.1000}')
        mask = torch.as_tensor(mask).detach().cpu()
        if mask.dtype != torch.bool or mask.shape != (sizes[name], ):
            raise SliceError(f'the mask of unit {name!r} must be Boolean of shape '
                             f'({sizes[name]},), not {mask.dtype} of {tuple(mask.shape)}')
        if not mask.any():
            raise SliceError(f'the mask of unit {name!r} keeps no channel; keep at least one')
        checked[name] = mask
    return checked


def removed_positions(units: Sequence[ChannelUnit], keep: Mapping[str, torch.Tensor]
                      ) -> dict[tuple[str, int], torch.Tensor]:
    """Return (leaf name, dimension) -> sorted positions that the choice removes.

    Args:
        units: The units of the model.
        keep: Of `check_keep`.
    """
    found: dict[tuple[str, int], list[torch.Tensor]] = {}
    for unit in units:
        if unit.name in keep and not keep[unit.name].all():
            for member in (*unit.members, *unit.outputs):
                lost = member.indices[~keep[unit.name]].reshape(-1)
                found.setdefault((member.name, member.dim), []).append(lost)
    return {slot: torch.unique(torch.cat(parts)) for slot, parts in found.items()}


def complement(removed: torch.Tensor, size: int) -> torch.Tensor:
    """Positions of `range(size)` that are not removed."""
    mask = torch.ones(size, dtype=torch.bool)
    mask[removed] = False
    return mask.nonzero().squeeze(1)


def slice_tensors(model: nn.Module, removed: Positions, share: bool = False) -> nn.Module:
    """Copy a model and take positions out of its parameters and buffers.

    Args:
        model: The full model.
        removed: (leaf name, dimension) -> positions.
        share: Share the tensors that stay whole with the model, whose copy is in eval mode then;
            for a copy that is only looked at.

    Returns:
        A copy that really is smaller, its norms plain; tensors that were shared stay shared.

    Raises:
        SliceError: The model has no such parameter, or it has another size.
    """
    model = structure_copy(model) if share else copy.deepcopy(model)
    replaced = expose(model)
    tensors = leaf_tensors(model)
    sizes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    aliases = {name: names for names in leaf_aliases(model) for name in names}
    kept: dict[tuple[str, int], torch.Tensor] = {}
    replacement: dict[int, torch.Tensor] = {}
    for (name, dim), positions in removed.items():
        if name.startswith('output.'):
            continue
        if name not in tensors:
            raise SliceError(f'the model has no parameter or buffer {name!r:.200}, which the graph '
                             'slices; analyze this model')
        old = tensors[name]
        if dim >= len(sizes[name]) or positions.max() >= sizes[name][dim]:
            raise SliceError(f'{name!r} has shape {sizes[name]}, too small for the graph; '
                             'analyze this model')
        rest = complement(positions, sizes[name][dim])
        kept.update({(alias, dim): rest for alias in aliases[name]})
        current = replacement.get(id(old), old.detach())
        replacement[id(old)] = current.index_select(dim, rest.to(old.device))
    for module in model.modules():
        stores: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for store in stores:
            for local, own in store.items():
                if own is None or id(own) not in replacement:
                    continue
                new = replacement[id(own)]
                if isinstance(own, nn.Parameter) and not isinstance(new, nn.Parameter):
                    new = replacement[id(own)] = nn.Parameter(new, own.requires_grad)
                store[local] = new
    _fix(model, kept, {alias: sizes[name] for name in sizes for alias in aliases[name]})
    conceal(model, replaced, {name for name, _ in kept})
    return model


def _fix(model: nn.Module, kept: Positions, sizes: Mapping[str, tuple[int, ...]]) -> None:
    touched = {''} if kept else set()  # modules below which something was sliced
    for name, _ in kept:
        parts = name.split('.')[:-1]
        touched.update('.'.join(parts[:end]) for end in range(1, len(parts) + 1))
    for path, module in reversed(list(model.named_modules())):
        if path in touched:
            fixer = find_fixer(module)
            if fixer is not None:
                fixer(module, Kept(kept, sizes, f'{path}.' if path else ''))


def slice_units(model: nn.Module, units: Sequence[ChannelUnit], keep: Mapping[str, Any]
                ) -> nn.Module:
    """Return a copy of the model without the channels that are not kept, without any proof.

    Args:
        model: The model the units belong to, or one built alike.
        units: Its units, of an analysis or read from a file.
        keep: Unit name -> Boolean mask [num_channels]; a unit that is not named stays whole.

    Returns:
        The sliced model, in the training mode of `model`.

    Raises:
        SliceError: A bad `keep`, or units of another model.
    """
    return slice_tensors(model, removed_positions(units, check_keep(units, keep)))
