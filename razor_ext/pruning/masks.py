"""Which channels of a model are pruned, and that they stay zero."""
from __future__ import annotations

import torch
from torch import Tensor, nn

from .channel_index import ChannelIndex
from .mutator import GraphMutator
from .slices import ChannelSlices


class ChannelMasks(nn.Module):
    """Pruned channels of a model as one buffer, held at zero in its parameters and buffers.

    A model masked so computes what the sliced one does: that is what the graph proves. Optimizer
    steps, averages and loading would bring the values back, so `hold` is called after each.

    Args:
        total: channels of all units.

    Attributes:
        pruned: Bool [total].
    """

    pruned: Tensor

    def __init__(self, total: int) -> None:
        super().__init__()
        self.register_buffer('pruned', torch.zeros(total, dtype=torch.bool))
        self._index: ChannelIndex | None = None
        self._statistics: ChannelSlices | None = None
        self._seen: tuple[int, bool] = (-1, False)

    def __deepcopy__(self, memo: dict) -> ChannelMasks:
        # The index holds the parameters of one model; that of a copy is made when it is asked for.
        twin = ChannelMasks(self.pruned.numel())
        twin.pruned = self.pruned.clone()
        return twin

    def index(self, architecture: nn.Module, mutator: GraphMutator) -> ChannelIndex:
        """Return the flat index of the model, made anew where the model was moved."""
        known = self._index
        if known is not None:
            entry = known.entries[0]
            present = architecture.get_parameter(entry.name)
            if present is not entry.param or present.device != known.device:
                known = None
        if known is None:
            known = self._index = mutator.channel_index(architecture)
            statistics = {name: buffer for name, buffer in architecture.named_buffers()
                          if buffer.is_floating_point()}
            self._statistics = ChannelSlices(mutator.mutable_units, known.starts, known.total,
                                             statistics)
        return known

    def any(self) -> bool:
        """Whether a channel is pruned; reads from the device only after a change."""
        if self._seen[0] != self.pruned._version:
            self._seen = (self.pruned._version, bool(self.pruned.any()))
        return self._seen[1]

    @torch.no_grad()
    def add(self, channels: Tensor) -> None:
        """Prune further channels, bool [total]."""
        self.pruned |= channels.to(self.pruned.device)

    def hold(self, architecture: nn.Module, mutator: GraphMutator) -> None:
        """Set the pruned channels of the model to zero."""
        if self.any():
            self.index(architecture, mutator).zero_(self.pruned)
            assert self._statistics is not None  # made with the index
            self._statistics.zero_(self.pruned)
