"""Norms whose statistics run over the kept channels only.

A layer norm takes its mean and variance over the channels, so that a channel that is 0 still counts
where one that was sliced away does not. A mask-aware norm holds a share per channel in the buffer
`kept_channels`: 1 where the channel stays, 0 where it is removed. With the shares s, over the
normalised dimensions,

    mean = sum(s x) / sum(s)        variance = sum(s (x - mean)^2) / sum(s)
    y = s (x - mean) / sqrt(variance + eps) * weight + bias

and an RMS norm likewise without the mean. With shares of 0 and 1 that is the norm of the sliced
model; with all shares 1 it is the plain norm. To the dependency graph the buffer is a member of
its unit as any other: masking sets it to 0, slicing shortens it.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

#: Name of the buffer of shares, of the shape that is normalised.
KEPT = 'kept_channels'
_RMS_NORM = getattr(F, 'rms_norm', None)  # of torch 2.4
#: Norms that can be made mask-aware: they call `layer_norm` or `rms_norm` once.
NORMS: tuple[Any, ...] = (nn.LayerNorm, *((nn.RMSNorm, ) if hasattr(nn, 'RMSNorm') else ()))


def layer_norm(x: Tensor, kept: Tensor, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-5) -> Tensor:
    """Layer norm over the channels that are kept.

    Args:
        x: [..., *normalised shape].
        kept: Shares [*normalised shape].
        weight, bias: Of the normalised shape, 0 for channels that are removed.
        eps: Added to the variance.
    """
    work, share, dims = _working(x, kept)
    mean = (work * share).sum(dims, keepdim=True) / share.sum()
    return _scaled(x, work - mean, share, dims, weight, bias, eps)


def rms_norm(x: Tensor, kept: Tensor, weight: Tensor | None = None, eps: float | None = None
             ) -> Tensor:
    """RMS norm over the channels that are kept; see `layer_norm`."""
    work, share, dims = _working(x, kept)
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _scaled(x, work, share, dims, weight, None, eps)


def _working(x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """Input and shares in a type that sums well, and the dimensions that are normalised."""
    work = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    return work, kept.to(work.dtype), list(range(-kept.dim(), 0))


def _scaled(x: Tensor, centred: Tensor, share: Tensor, dims: list[int], weight: Tensor | None,
            bias: Tensor | None, eps: float) -> Tensor:
    shared = centred * share
    variance = (shared * centred).sum(dims, keepdim=True) / share.sum()
    result = shared * (variance + eps).rsqrt()
    if weight is not None:
        result = result * weight
    if bias is not None:
        result = result + bias
    # As torch's own: in full precision under autocast, else of the input's type.
    return result if torch.is_autocast_enabled() else result.to(x.dtype)


class _KeptStatistics(TorchFunctionMode):
    """Gives the norms that are called in it the shares of one module."""

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.kept = kept

    def __torch_function__(self, func: Any, types: Any, args: tuple = (),
                           kwargs: dict | None = None) -> Any:
        if func is F.layer_norm:
            return self._layer_norm(*args, **(kwargs or {}))
        if func is _RMS_NORM:
            return self._rms_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _layer_norm(self, input: Tensor, normalized_shape: Sequence[int],
                    weight: Tensor | None = None, bias: Tensor | None = None,
                    eps: float = 1e-5) -> Tensor:
        return layer_norm(input, self.kept, weight, bias, eps)

    def _rms_norm(self, input: Tensor, normalized_shape: Sequence[int],
                  weight: Tensor | None = None, eps: float | None = None) -> Tensor:
        return rms_norm(input, self.kept, weight, eps)


def _rms(module: Any, x: Tensor, kept: Tensor) -> Tensor:
    return rms_norm(x, kept, module.weight, module.variance_epsilon)


def _last_or_first(module: Any, x: Tensor, kept: Tensor) -> Tensor:
    first = module.data_format == 'channels_first'
    x = x.movedim(1, -1) if first else x
    x = layer_norm(x, kept, module.weight, module.bias, module.eps)
    return x.movedim(-1, 1) if first else x


#: Norms that are written out in their forward pass, by 'package.module.Type'.
WRITTEN_OUT: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    'mmpretrain.models.backbones.hornet.HorNetLayerNorm': _last_or_first,
    **{f'transformers.models.{package}.modeling_{package}.{name}RMSNorm': _rms
       for package, name in (('llama', 'Llama'), ('mistral', 'Mistral'), ('mixtral', 'Mixtral'),
                             ('qwen2', 'Qwen2'), ('qwen3', 'Qwen3'), ('phi3', 'Phi3'))}}


def _written_out(cls: Any) -> Callable[[Any, Tensor, Tensor], Tensor] | None:
    """The mask-aware form of a norm that is written out, None for other types."""
    for base in cls.__mro__:
        found = WRITTEN_OUT.get(f'{base.__module__}.{base.__qualname__}')
        if found is not None:
            return found if cls.forward is base.forward else None
    return None


class MaskAware(nn.Module):
    """What a mask-aware norm is beside the type it was before."""

    plain_type: Any
    kept_channels: Tensor
    normalized_shape: tuple[int, ...]
    num_channels: int

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Normalise with the statistics of the kept channels."""
        form = _written_out(self.plain_type)
        if form is not None:
            return form(self, args[0], self.kept_channels)
        with _KeptStatistics(self.kept_channels):
            return super().forward(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Weights of a model whose norms are plain leave the shares as they are."""
        state_dict.setdefault(prefix + KEPT, self.kept_channels)
        super()._load_from_state_dict(state_dict, prefix, *args)


@functools.cache
def _mask_aware_type(plain: Any) -> Any:
    return type(f'MaskAware{plain.__name__}', (MaskAware, plain), {'plain_type': plain})


def mask_norms(model: nn.Module, names: Collection[str] | None = None) -> nn.Module:
    """Make the norms of a model mask-aware, in place; what it computes stays the same.

    Args:
        model: Any module.
        names: Buffers `<norm>.kept_channels` to make; None makes those of every norm.

    Returns:
        The model.
    """
    tensor = next((x for x in (*model.parameters(), *model.buffers()) if x.is_floating_point()),
                  torch.zeros(()))
    for path, module in model.named_modules():
        name = f'{path}.{KEPT}' if path else KEPT
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0  # its fused path would not call the norms
        known = isinstance(module, NORMS) or _written_out(type(module)) is not None
        if not known or isinstance(module, MaskAware) \
                or (names is not None and name not in names):
            continue
        like = tensor if module.weight is None else module.weight
        shape = module.weight.shape if module.weight is not None else module.normalized_shape
        kept = torch.ones(shape, dtype=like.dtype, device=like.device)
        plain: Any = type(module)
        module.__class__ = _mask_aware_type(plain)
        module.register_buffer(KEPT, kept)
    return model


def plain_norms(model: nn.Module) -> nn.Module:
    """Turn mask-aware norms back into plain ones of the size of their buffer, in place.

    Returns:
        The model.
    """
    for module in mask_aware(model):
        shape = tuple(module.kept_channels.shape)
        if hasattr(module, 'normalized_shape'):
            module.normalized_shape = shape
        if hasattr(module, 'num_channels'):  # of mmpretrain's LayerNorm2d
            module.num_channels = shape[0]
        del module._buffers[KEPT]
        module.__class__ = module.plain_type
    return model


def mask_aware(model: nn.Module) -> Iterator[MaskAware]:
    """Yield the mask-aware norms of a model."""
    for module in list(model.modules()):
        if isinstance(module, MaskAware):
            yield module


def shares(model: nn.Module) -> dict[str, MaskAware]:
    """Return the mask-aware norms of a model by the name of their buffer."""
    return {f'{path}.{KEPT}' if path else KEPT: module
            for path, module in model.named_modules() if isinstance(module, MaskAware)}
