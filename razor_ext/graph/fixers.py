"""Correct the sizes that modules hold as Python attributes once their parameters are sliced.

A fixer is keyed by module type and runs on every instance (of the type or a subclass) below which
a parameter was sliced. Here are those of PyTorch's layers, of mmcv's wrapper of them and of timm's
attention, which models of any family are made of; a family adds its own with `register_fixer`.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

import torch
from torch import nn

if TYPE_CHECKING:
    from timm.layers.attention import Attention

#: Takes an instance of the type that it is registered for.
Fixer = Callable[[Any, 'Kept'], None]


class Kept:
    """What slicing kept of the parameters below one module.

    Args:
        kept: (full parameter name, dimension) -> kept positions.
        sizes: Full parameter name -> shape before slicing.
        prefix: Dotted name of the module, with a trailing dot unless it is the root.
    """

    def __init__(self, kept: Mapping[tuple[str, int], torch.Tensor],
                 sizes: Mapping[str, tuple[int, ...]], prefix: str) -> None:
        self._kept = kept
        self._sizes = sizes
        self._prefix = prefix

    def positions(self, name: str, dim: int) -> torch.Tensor:
        """Kept positions of a parameter's dimension; `name` is relative to the module."""
        full = self._prefix + name
        if (full, dim) in self._kept:
            return self._kept[full, dim]
        return torch.arange(self._sizes[full][dim])

    def full_size(self, name: str, dim: int) -> int:
        """Size of a parameter's dimension before slicing."""
        return self._sizes[self._prefix + name][dim]


_FIXERS: dict[type, Fixer] = {}
_LAZY_FIXERS: dict[str, Fixer] = {}


def register_fixer(*types: type | str) -> Callable[[Fixer], Fixer]:
    """Register a fixer for module types.

    Args:
        types: Types, or 'package.module.Type' for types of packages that need not be installed.
    """

    def register(function: Fixer) -> Fixer:
        for key in types:
            if isinstance(key, str):
                _LAZY_FIXERS[key] = function
            else:
                _FIXERS[key] = function
        return function

    return register


def find_fixer(module: nn.Module) -> Fixer | None:
    """Return the fixer of the module's nearest registered base type."""
    for cls in type(module).__mro__:
        if cls in _FIXERS:
            return _FIXERS[cls]
        name = f'{cls.__module__}.{cls.__qualname__}'
        if name in _LAZY_FIXERS:
            return _LAZY_FIXERS[name]
    return None


def part_sizes(positions: torch.Tensor, sizes: Sequence[int]) -> list[int]:
    """Return how many positions are left of each part of a dimension.

    Args:
        positions: Those that are kept, ascending.
        sizes: Of the parts before slicing.
    """
    bounds = torch.tensor([0, *sizes]).cumsum(0)
    return torch.searchsorted(positions, bounds).diff().tolist()


@register_fixer(nn.modules.conv._ConvNd)
def fix_conv(module: nn.modules.conv._ConvNd, kept: Kept) -> None:
    """Channels follow the weight; whole groups that were removed shrink `groups`."""
    rows, columns = module.weight.shape[:2]
    if module.groups > 1:
        width = kept.full_size('weight', 0) // module.groups
        module.groups = len(torch.unique(kept.positions('weight', 0) // width))
    if module.transposed:
        module.in_channels, module.out_channels = rows, columns * module.groups
    else:
        module.out_channels, module.in_channels = rows, columns * module.groups


@register_fixer(nn.Linear)
def fix_linear(module: nn.Linear, kept: Kept) -> None:
    module.out_features, module.in_features = module.weight.shape


@register_fixer(nn.modules.batchnorm._NormBase)
def fix_batch_norm(module: nn.modules.batchnorm._NormBase, kept: Kept) -> None:
    for tensor in (module.weight, module.running_mean):
        if tensor is not None:
            module.num_features = len(tensor)


@register_fixer(nn.GroupNorm)
def fix_group_norm(module: nn.GroupNorm, kept: Kept) -> None:
    width = module.num_channels // module.num_groups
    module.num_groups = len(torch.unique(kept.positions('weight', 0) // width))
    module.num_channels = len(module.weight)


@register_fixer(nn.Embedding)
def fix_embedding(module: nn.Embedding, kept: Kept) -> None:
    module.num_embeddings, module.embedding_dim = module.weight.shape


@register_fixer(nn.PReLU)
def fix_prelu(module: nn.PReLU, kept: Kept) -> None:
    module.num_parameters = len(module.weight)


@register_fixer('mmcv.cnn.bricks.conv_module.ConvModule')
def fix_conv_module(module: nn.Module, kept: Kept) -> None:
    """The wrapper repeats the attributes of its convolution."""
    for name in ('in_channels', 'out_channels', 'groups'):
        if hasattr(module, name):
            setattr(module, name, getattr(module.conv, name))


@register_fixer('timm.layers.attention.Attention', 'timm.models.vision_transformer.Attention')
def fix_heads(module: Attention, kept: Kept) -> None:
    """Whole heads are removed; the head dimension and the scale made of it stay."""
    module.num_heads = module.qkv.weight.shape[0] // (3 * module.head_dim)
    if hasattr(module, 'attn_dim'):
        module.attn_dim = module.num_heads * module.head_dim
