"""Slim copies of a model, on which the units of a large one are proved.

Each copy keeps one part of every unit's channels, a quarter of them where there are enough. All
copies together keep every channel once, and cost less to run than the whole model once.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .slicing import complement, removed_positions, slice_tensors
from .units import ChannelUnit, UnitMember

#: Number of copies; a unit of fewer than 8 channels has fewer parts, of two channels at least.
PARTS = 4


def part_of(units: Sequence[ChannelUnit], number: int) -> dict[str, torch.Tensor]:
    """Choose the channels of one copy.

    Args:
        units: The units.
        number: Number of the copy, below `PARTS`.

    Returns:
        Unit name -> Boolean mask of the channels that the copy keeps.
    """
    generator = torch.Generator().manual_seed(0)
    keep = {}
    for i, unit in enumerate(units):
        order = torch.randperm(unit.num_channels, generator=generator)
        parts = order.tensor_split(max(1, min(PARTS, unit.num_channels // 2)))
        mask = torch.zeros(unit.num_channels, dtype=torch.bool)
        mask[parts[(number + i) % len(parts)]] = True
        keep[unit.name] = mask
    return keep


def halves(units: Sequence[ChannelUnit], seed: int) -> list[dict[str, torch.Tensor]]:
    """Choose a random half of the channels of each unit, and the other half."""
    generator = torch.Generator().manual_seed(seed)
    first = {}
    for unit in units:
        mask = torch.zeros(unit.num_channels, dtype=torch.bool)
        mask[torch.randperm(unit.num_channels, generator=generator)[:unit.num_channels // 2]] = True
        first[unit.name] = mask
    return [first, {name: ~mask for name, mask in first.items()}]


def slim(model: nn.Module, units: Sequence[ChannelUnit], keep: Mapping[str, torch.Tensor],
         output_shapes: Sequence[tuple[int, ...]]) -> tuple[nn.Module, list[ChannelUnit]]:
    """Slice a model, and renumber its units for what is left.

    Args:
        model: The whole model.
        units: Its units.
        keep: Channels that stay.
        output_shapes: Shapes of the model's outputs.

    Returns:
        The sliced model, and its units under their old names.
    """
    removed = removed_positions(units, keep)
    small = slice_tensors(model, removed, share=True)
    shapes: dict[str, Sequence[int]] = {f'output.{i}': s for i, s in enumerate(output_shapes)}
    for found in (model.named_parameters(), model.named_buffers()):
        shapes.update((name, tensor.shape) for name, tensor in found)

    def renumbered(member: UnitMember, mask: torch.Tensor) -> UnitMember:
        slot, size = (member.name, member.dim), shapes[member.name][member.dim]
        left = complement(removed[slot], size) if slot in removed else torch.arange(size)
        number = torch.full((size, ), -1)
        number[left] = torch.arange(len(left))
        return dataclasses.replace(member, indices=number[member.indices[mask]])

    return small, [dataclasses.replace(
        unit, num_channels=int(mask.sum()),
        members=tuple(renumbered(member, mask) for member in unit.members),
        outputs=tuple(renumbered(member, mask) for member in unit.outputs))
        for unit, mask in ((unit, keep[unit.name]) for unit in units)]
