"""Param groups of a model with quantizers."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor


def split_scales(params: Iterable, scales: Sequence[Tensor], lr: float | None) -> list[dict]:
    """Move quantizer scales into a group of their own, without weight decay.

    Args:
        params: Parameters, or param groups.
        scales: Scale parameters; may or may not be among ``params``.
        lr: Their learning rate.
    """
    groups = list(params)
    if not groups:
        raise ValueError('optimizer got an empty parameter list')
    groups = [dict(g) for g in groups] if isinstance(groups[0], dict) else [{'params': groups}]
    ids = {id(scale) for scale in scales}
    for group in groups:
        members = group['params']
        members = [members] if isinstance(members, Tensor) else list(members)
        group['params'] = [p for p in members if id(p) not in ids]
    groups = [group for group in groups if group['params']]
    trained = [scale for scale in scales if scale.requires_grad]
    if trained:
        groups.append({'params': trained, 'lr': lr, 'weight_decay': 0.})
    return groups
