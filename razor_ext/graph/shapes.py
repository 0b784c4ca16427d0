"""Results of the commonest operators on fake tensors, made at once.

The general way through PyTorch's fake tensor mode takes several times as long as a small
convolution itself. Whatever is not plain here (mixed types, broadcasting, other memory formats,
sizes that do not fit) is left to it, errors included.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

_aten = torch.ops.aten
Shortcut = Callable[..., Optional[Any]]
_SHORTCUTS: dict[Any, Shortcut] = {}


def _make(mode: FakeTensorMode, shape: Sequence[int], dtype: torch.dtype, device: torch.device
          ) -> FakeTensor:
    """Make a contiguous fake tensor."""
    with torch._C._DisableTorchDispatch():
        meta = torch.empty(shape, dtype=dtype, device='meta')
    return FakeTensor(mode, meta, device)


def fake(mode: FakeTensorMode, shape: Sequence[int], like: FakeTensor) -> FakeTensor:
    """Make a contiguous fake tensor of a shape, with the type and device of another."""
    return _make(mode, shape, like.dtype, like.fake_device)


def shortcut(mode: FakeTensorMode, func: Any, args: tuple, kwargs: dict | None) -> Any | None:
    """Return the result of an operator, None if the fake tensor mode has to make it."""
    known = _SHORTCUTS.get(func)
    if known is _empty:
        return _empty(mode, *args, **(kwargs or {}))
    if known is None or kwargs or not _plain(args[0]):
        return None
    return known(mode, *args)


def _plain(x: Any) -> bool:
    return type(x) is FakeTensor and x.is_floating_point() and x.is_contiguous()


def _empty(mode: FakeTensorMode, size: Sequence[int], dtype: torch.dtype | None = None,
           layout: Any = None, device: torch.device | None = None, *rest: Any, **options: Any
           ) -> FakeTensor | None:
    """A new tensor; batch norms make one to no end."""
    if dtype is None or device is None or rest or any(options.values()) \
            or layout not in (None, torch.strided):
        return None
    return _make(mode, size, dtype, device)


def _same(mode: FakeTensorMode, x: FakeTensor, *literals: Any) -> FakeTensor | None:
    """Elementwise operators of one tensor."""
    return fake(mode, x.shape, x)


def _alike(mode: FakeTensorMode, x: FakeTensor, y: Any) -> FakeTensor | None:
    """Elementwise operators of two tensors of one shape and type."""
    fits = _plain(y) and x.shape == y.shape and x.dtype == y.dtype
    return fake(mode, x.shape, x) if fits else None


def _batch_norm(mode: FakeTensorMode, x: FakeTensor, weight: FakeTensor | None,
                bias: FakeTensor | None, mean: FakeTensor | None, variance: FakeTensor | None,
                *settings: Any) -> tuple[FakeTensor, ...] | None:
    """Batch norm with running statistics."""
    channels = x.shape[1] if x.dim() > 1 else -1
    training = settings[0] if len(settings) == 3 else False
    vectors = (weight, bias, mean, variance)
    if training or mean is None or variance is None or any(
            v is not None and (v.shape != (channels, ) or v.dtype != x.dtype) for v in vectors):
        return None
    return fake(mode, x.shape, x), fake(mode, (0, ), x), fake(mode, (0, ), x)


def _convolution(mode: FakeTensorMode, x: FakeTensor, weight: FakeTensor, bias: FakeTensor | None,
                 stride: list[int], padding: list[int], dilation: list[int], transposed: bool,
                 output_padding: list[int], groups: int) -> FakeTensor | None:
    """Convolution that is not transposed."""
    rank, shape = x.dim() - 2, weight.shape
    fits = not transposed and x.dtype == weight.dtype and len(shape) == x.dim() and rank > 0 \
        and len(stride) == len(padding) == len(dilation) == rank \
        and x.shape[1] == shape[1] * groups and shape[0] % groups == 0 \
        and (bias is None or bias.shape == (shape[0], ))
    if not fits:
        return None
    sizes = [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in zip(
        x.shape[2:], shape[2:], stride, padding, dilation)]
    return fake(mode, (x.shape[0], shape[0], *sizes), x) if min(sizes) > 0 else None


_SHORTCUTS[_aten.empty.memory_format] = _empty
for _name in ('silu', 'relu', 'sigmoid', 'hardsigmoid', 'hardswish', 'tanh', 'gelu', 'mish',
              'leaky_relu', 'elu', 'hardtanh'):
    _SHORTCUTS[getattr(_aten, _name).default] = _same
for _name in ('add', 'mul', 'sub', 'div'):
    _SHORTCUTS[getattr(_aten, _name).Tensor] = _alike
_SHORTCUTS[_aten.convolution.default] = _convolution
_SHORTCUTS[_aten.native_batch_norm.default] = _batch_norm
_SHORTCUTS[_aten._native_batch_norm_legit_no_training.default] = _batch_norm
