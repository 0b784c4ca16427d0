"""What the dependency graph and quantization both need to know of PyTorch's attention."""
from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def no_fused_attention() -> Iterator[None]:
    """Make `nn.MultiheadAttention` run its ordinary operators inside the block, where it can."""
    backend = getattr(torch.backends, 'mha', None)
    if backend is None or not hasattr(backend, 'set_fastpath_enabled'):
        yield
        return
    before = backend.get_fastpath_enabled()
    backend.set_fastpath_enabled(False)
    try:
        yield
    finally:
        backend.set_fastpath_enabled(before)


def merged_mask(attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor
                ) -> Tensor | None:
    """Return both masks of `nn.MultiheadAttention` as one to add to its scores.

    Args:
        attn_mask: [queries, keys], or [batch * heads, queries, keys]; a Boolean one hides.
        key_padding_mask: [batch, keys], or [keys] where the batch is one; a Boolean one hides.
        query: [batch, heads, queries, channels].

    Returns:
        A mask that fits [batch, heads, queries, keys]; None for nothing.
    """
    merged = None
    if attn_mask is not None:
        merged = _added(attn_mask, query)
        if merged.dim() == 3:
            merged = merged.view(query.shape[0], -1, *merged.shape[1:])
    if key_padding_mask is not None:
        padding = _added(key_padding_mask, query)
        padding = padding.view(query.shape[0], 1, 1, padding.shape[-1])
        merged = padding if merged is None else merged + padding
    return merged


def _added(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -math.inf)
