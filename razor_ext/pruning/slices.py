"""Slices of tensors that belong to channels: zeroed with them, so that slicing loses nothing.

A function that is not 0 at 0 (a sigmoid) makes a dead channel a constant that its consumers would
still read.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class ChannelSlices:
    """Slices of tensors that go with the channels of units.

    Args:
        units: Channel units, in order.
        starts: First channel of each unit in the flat list.
        total: Number of channels C.
        tensors: Parameters or buffers by dotted name; members that are none of them are left out.
        role: Role of the members that count; None for all.
    """

    def __init__(self, units: Sequence, starts: Sequence[int], total: int,
                 tensors: Mapping[str, Tensor], role: str | None = None) -> None:
        owners: dict[tuple[str, int], Tensor] = {}
        for unit, start in zip(units, starts):
            for member in unit.members:
                if role not in (None, member.role) or member.name not in tensors:
                    continue
                size = tensors[member.name].shape[member.dim]
                channels = owners.setdefault((member.name, member.dim),
                                           torch.full((size,), total, dtype=torch.long))
                rows = torch.arange(unit.num_channels) + start
                channels[member.indices.cpu().reshape(-1)] = rows.repeat_interleave(
                    member.indices.shape[1])
        # One fused operation must not meet a tensor twice.
        rounds: dict[int, list[tuple[Tensor, int, Tensor]]] = {}
        seen: dict[str, int] = {}
        for (name, dim), channels in owners.items():
            turn = seen[name] = seen.get(name, -1) + 1
            rounds.setdefault(turn, []).append((tensors[name], dim, channels))
        self._rounds = [_Round(entries) for entries in rounds.values()]

    def zero_(self, channels: Tensor) -> None:
        """Zero the slices of channels, bool [C]."""
        self.scale_((~channels).float())

    @torch.no_grad()
    def scale_(self, factors: Tensor) -> None:
        """Multiply the slices of each channel by its factor, float [C]."""
        padded = torch.cat([factors, factors.new_ones(1)])
        for turn in self._rounds:
            turn.scale_(padded)


class _Round:
    """Tensors scaled along one dimension each, every one of them once."""

    def __init__(self, entries: Sequence[tuple[Tensor, int, Tensor]]) -> None:
        self.params = [param for param, _, _ in entries]
        device = self.params[0].device
        self.owners = torch.cat([channels for _, _, channels in entries]).to(device)
        self.factors = torch.ones(self.owners.numel(), device=device)
        parts = self.factors.split([channels.numel() for _, _, channels in entries])
        self.views = [part.view([-1 if d == dim else 1 for d in range(param.dim())])
                      for part, (param, dim, _) in zip(parts, entries)]

    def scale_(self, factors: Tensor) -> None:
        torch.index_select(factors, 0, self.owners, out=self.factors)
        torch._foreach_mul_(self.params, self.views)
