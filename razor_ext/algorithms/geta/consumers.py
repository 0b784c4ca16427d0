"""What consumes a channel: zeroed with its group, so that slicing loses nothing.

A function that is not 0 at 0 (a sigmoid) makes a dead channel a constant that its consumers would
still read.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Consumers:
    """Dimensions of parameters that consume the channels of units.

    Args:
        units: Channel units, in order.
        starts: First group of each unit.
        num_groups: Number of groups G.
        parameters: Parameters by dotted name; members that are none (buffers) are left out.
    """

    def __init__(self, units: Sequence, starts: Sequence[int], num_groups: int,
                 parameters: Mapping[str, Tensor]) -> None:
        owners: dict[tuple[str, int], Tensor] = {}
        for unit, start in zip(units, starts):
            for member in unit.members:
                if member.role != 'in' or member.name not in parameters:
                    continue
                size = parameters[member.name].shape[member.dim]
                groups = owners.setdefault((member.name, member.dim),
                                           torch.full((size,), num_groups, dtype=torch.long))
                rows = torch.arange(unit.num_channels) + start
                groups[member.indices.cpu().reshape(-1)] = rows.repeat_interleave(
                    member.indices.shape[1])
        # One fused operation must not meet a tensor twice.
        rounds: dict[int, list[tuple[Tensor, int, Tensor]]] = {}
        seen: dict[str, int] = {}
        for (name, dim), groups in owners.items():
            turn = seen[name] = seen.get(name, -1) + 1
            rounds.setdefault(turn, []).append((parameters[name], dim, groups))
        self._rounds = [_Round(entries) for entries in rounds.values()]

    @torch.no_grad()
    def zero_(self, groups: Tensor) -> None:
        """Zero what consumes the channels of groups, bool [G]."""
        factors = torch.cat([(~groups).float(), torch.ones(1, device=groups.device)])
        for turn in self._rounds:
            turn.scale_(factors)


class _Round:
    """Parameters scaled along one dimension each, every one of them once."""

    def __init__(self, entries: Sequence[tuple[Tensor, int, Tensor]]) -> None:
        self.params = [param for param, _, _ in entries]
        device = self.params[0].device
        self.owners = torch.cat([groups for _, _, groups in entries]).to(device)
        self.factors = torch.ones(self.owners.numel(), device=device)
        parts = self.factors.split([groups.numel() for _, _, groups in entries])
        self.views = [part.view([-1 if d == dim else 1 for d in range(param.dim())])
                      for part, (param, dim, _) in zip(parts, entries)]

    def scale_(self, factors: Tensor) -> None:
        torch.index_select(factors, 0, self.owners, out=self.factors)
        torch._foreach_mul_(self.params, self.views)
