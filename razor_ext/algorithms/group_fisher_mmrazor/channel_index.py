"""Cached channel indices for dynamic layers.

MMRazor indexes weights by boolean masks in every forward: a synchronisation with the device and a
slow scatter in the backward. Masks change only when something is pruned, so the positions are kept.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
import torch
from mmrazor.models.mutables import DerivedMutable, MutableChannelContainer
from torch import Tensor

if TYPE_CHECKING:  # mixins are added to a dynamic layer
    from mmrazor.models.architectures.dynamic_ops import DynamicChannelMixin as Mixin
else:
    Mixin = object


def source_masks(container: MutableChannelContainer) -> list[Tensor]:
    """Return the mask buffers that decide a container, in order.

    Args:
        container: the channels of one side of a layer.

    Returns:
        Float masks [num_channels] of the units behind it.
    """
    masks: list[Tensor] = []
    for mutable in container.mutable_channels.values():
        sources = mutable.source_mutables if isinstance(mutable, DerivedMutable) else (mutable,)
        masks.extend(source.mask for source in sources)
    return masks


@dataclass(frozen=True)
class _Entry:
    masks: list[Tensor]
    versions: list[int]
    index: Tensor | None
    positions: np.ndarray

    def fits(self, masks: list[Tensor]) -> bool:
        same = len(masks) == len(self.masks) and all(a is b for a, b in zip(masks, self.masks))
        return same and [mask._version for mask in masks] == self.versions


class ChannelIndexMixin(Mixin):
    """Keeps the positions of the active channels of a dynamic layer."""

    def _channel_entry(self, attr: str) -> _Entry | None:
        container = self.get_mutable_attr(attr)
        if container is None:
            return None
        cache = self.__dict__.setdefault('_channel_index_cache', {})
        entry = cache.get(attr)
        if entry is None or not entry.fits(source_masks(container)):
            mask = container.current_mask
            index = mask.nonzero().flatten()
            masks = source_masks(container)
            entry = _Entry(masks, [mask._version for mask in masks],
                           None if index.numel() == mask.numel() else index, index.cpu().numpy())
            cache[attr] = entry
        return entry

    def channel_index(self, attr: str) -> Tensor | None:
        """Return the active positions of one side of the layer.

        Args:
            attr: 'in_channels' or 'out_channels'.

        Returns:
            Positions [active], int64, on the device of the masks; None when all are active.
        """
        entry = self._channel_entry(attr)
        return None if entry is None else entry.index

    def active_span(self, attr: str, start: int, end: int) -> slice:
        """Return where the dense channels [start, end) lie among the active ones.

        Args:
            attr: 'in_channels' or 'out_channels'.
            start: first dense channel.
            end: last dense channel, exclusive.
        """
        entry = self._channel_entry(attr)
        if entry is None:
            return slice(start, end)
        low, high = np.searchsorted(entry.positions, (start, end))
        return slice(int(low), int(high))

    def __getstate__(self) -> dict:
        state = self.__dict__.copy()
        state.pop('_channel_index_cache', None)
        return state


@overload
def select(tensor: Tensor, dim: int, index: Tensor | None) -> Tensor: ...


@overload
def select(tensor: None, dim: int, index: Tensor | None) -> None: ...


def select(tensor: Tensor | None, dim: int, index: Tensor | None) -> Tensor | None:
    """Return the rows `index` of `tensor` along `dim`; None for either leaves it as it is."""
    if tensor is None or index is None:
        return tensor
    return torch.index_select(tensor, dim, index.to(tensor.device))
