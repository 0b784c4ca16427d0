"""Pruned channels held at zero in place, in every parameter and buffer they have a share of."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from razor_ext.graph import UnitMember


class MaskedUnit(Protocol):
    """A unit with a mask over its channels."""

    members: Sequence[UnitMember]

    @property
    def mask(self) -> Tensor:
        """Float [num_channels], 0 where pruned."""


class ChannelMasks:
    """Zeroes the member slices of pruned channels, those that consume the channel included.

    A model masked so computes what the sliced one does: that is what the graph proves. Momentum,
    averages and loading would bring the slices back, so `apply` is called after every step and
    before every forward pass. It touches pruned positions only, and looks for them anew only when a
    mask has changed.

    Args:
        architecture: the model.
        units: its units.
    """

    def __init__(self, architecture: nn.Module, units: Sequence[MaskedUnit]) -> None:
        # In a tuple, as the owner is a module of the same parent.
        self._architecture = (architecture, )
        self._units = tuple(units)
        self._seen: list[tuple[Tensor, int]] = []
        self._slots: list[tuple[dict[str, Tensor], str, int, Tensor]] = []

    def apply(self) -> None:
        """Set all slices of pruned channels to zero."""
        masks = [unit.mask for unit in self._units]
        if len(masks) != len(self._seen) or any(
                mask is not seen or mask._version != version
                for mask, (seen, version) in zip(masks, self._seen)):
            self._slots = self._find(masks)
            self._seen = [(mask, mask._version) for mask in masks]
        for store, name, dim, positions in self._slots:
            # Not by a differentiable view: values that autograd has saved stay as they are, since
            # what is zeroed in a forward pass was zero in the one before.
            store[name].data.index_fill_(dim, positions, 0)

    def _find(self, masks: Sequence[Tensor]) -> list[tuple[dict[str, Tensor], str, int, Tensor]]:
        lost: dict[tuple[str, int], list[Tensor]] = {}
        for unit, mask in zip(self._units, masks):
            pruned = (mask == 0).cpu()
            if pruned.any():
                for member in unit.members:
                    lost.setdefault((member.name, member.dim), []).append(
                        member.indices[pruned].reshape(-1))
        slots = []
        for (name, dim), parts in lost.items():
            path, _, local = name.rpartition('.')
            module = self._architecture[0].get_submodule(path)
            store = module._parameters if local in module._parameters else module._buffers
            positions = torch.unique(torch.cat(parts)).to(store[local].device)
            slots.append((store, local, dim, positions))
        return slots
