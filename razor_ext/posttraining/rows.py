"""Layers as linear maps of rows: what they read and what they return, at some places.

A new layer type takes one decorated class:

    @register_rows(StackedLinear)
    class StackedRows(LayerRows):
        ...
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Layer type -> the class that takes it apart.
ROWS: dict[type[nn.Module], type[LayerRows]] = {}


class LayerRows:
    """A layer whose output rows [..., N, O] are its input rows [..., N, I] times its weight.

    Args:
        module: the layer.
    """

    #: Dimension of the weight that holds the output channels.
    channel_dim: ClassVar[int] = 0

    def __init__(self, module: Any) -> None:
        self.module = module

    @classmethod
    def takes(cls, module: Any) -> bool:
        """Return whether a layer of a registered type is such a map."""
        return True

    def draw(self, output: Tensor, rows: int, generator: torch.Generator) -> Tensor:
        """Draw about so many places of an output, the same for every output of its shape."""
        raise NotImplementedError

    def outputs(self, output: Tensor, places: Tensor) -> Tensor:
        """Return an output at some places [..., N, O]."""
        raise NotImplementedError

    def inputs(self, x: Tensor, places: Tensor) -> Tensor:
        """Return what makes the output at some places [..., N, I], a bias's ones last."""
        raise NotImplementedError

    def weight(self) -> Tensor:
        """Return the weight [..., O, I], a bias last."""
        raise NotImplementedError

    def set_weight(self, rows: Tensor) -> None:
        """Give the layer a weight in the form of `weight`."""
        raise NotImplementedError

    def keep(self, targets: Tensor, channels: Tensor) -> Tensor:
        """Return the rows of `outputs` for some output channels."""
        return targets[..., channels]

    def returns(self, x: Tensor, shape: torch.Size) -> bool:
        """Return whether an input gives an output of a shape, channels apart."""
        return x.shape[0] == shape[0] and x.dim() == len(shape)


def register_rows(*types: type[nn.Module]) -> Callable[[type[LayerRows]], type[LayerRows]]:
    """Register the decorated class for layer types and what derives from them."""
    def register(rows_type: type[LayerRows]) -> type[LayerRows]:
        ROWS.update(dict.fromkeys(types, rows_type))
        return rows_type
    return register


def rows_of(module: nn.Module) -> LayerRows | None:
    """Return a layer as a linear map of rows; None where it is not known to be one."""
    found = next((ROWS[kind] for kind in type(module).__mro__ if kind in ROWS), None)
    return found(module) if found is not None and found.takes(module) else None


def with_ones(rows: Tensor, bias: Tensor | None) -> Tensor:
    """Return input rows with a last column of ones where there is a bias."""
    return rows if bias is None else torch.cat([rows, rows.new_ones(*rows.shape[:-1], 1)], -1)


class _BiasedRows(LayerRows):
    """The weight's first dimension is that of the outputs, and there may be a bias."""

    def weight(self) -> Tensor:
        flat, bias = self.module.weight.detach().flatten(1), self.module.bias
        return flat if bias is None else torch.cat([flat, bias.detach()[:, None]], 1)

    @torch.no_grad()
    def set_weight(self, rows: Tensor) -> None:
        weight, bias = self.module.weight, self.module.bias
        rows = rows.reshape(weight.shape[0], -1)
        if bias is not None:
            bias.copy_(rows[:, -1])
            rows = rows[:, :-1]
        weight.copy_(rows.reshape(weight.shape))


@register_rows(nn.Linear)
class LinearRows(_BiasedRows):
    """A dense layer; places are numbers of rows."""

    def draw(self, output: Tensor, rows: int, generator: torch.Generator) -> Tensor:
        total = output.numel() // output.shape[-1]
        return torch.randperm(total, generator=generator)[:rows].sort().values

    def outputs(self, output: Tensor, places: Tensor) -> Tensor:
        return output.reshape(-1, output.shape[-1])[places.to(output.device)]

    def inputs(self, x: Tensor, places: Tensor) -> Tensor:
        return with_ones(self.outputs(x, places), self.module.bias)

    def returns(self, x: Tensor, shape: torch.Size) -> bool:
        return x.shape[:-1] == shape[:-1]


@register_rows(nn.Conv1d, nn.Conv2d, nn.Conv3d)
class ConvRows(_BiasedRows):
    """A convolution without groups; places are positions [B, P] by sample."""

    def __new__(cls, module: Any) -> ConvRows:
        return object.__new__(DepthwiseRows if module.groups > 1 else ConvRows)

    @classmethod
    def takes(cls, module: Any) -> bool:
        by_channel = module.groups == module.in_channels == module.out_channels
        return module.padding_mode == 'zeros' and (module.groups == 1 or by_channel)

    def draw(self, output: Tensor, rows: int, generator: torch.Generator) -> Tensor:
        batch, total = output.shape[0], math.prod(output.shape[2:])
        count = -(-rows // batch)
        if count >= total:
            return torch.arange(total).expand(batch, total)
        return torch.randint(total, (batch, count), generator=generator)

    def outputs(self, output: Tensor, places: Tensor) -> Tensor:
        flat = output.flatten(2)
        index = places.to(output.device)[:, None].expand(-1, flat.shape[1], -1)
        return flat.gather(2, index).transpose(1, 2).flatten(0, 1)

    def inputs(self, x: Tensor, places: Tensor) -> Tensor:
        taps = self._taps(x, places.to(x.device))
        return with_ones(taps.transpose(1, 2).flatten(0, 1).flatten(1), self.module.bias)

    def _taps(self, x: Tensor, places: Tensor) -> Tensor:
        """Return what the kernel covers [B, C, P, K] at output positions [B, P]."""
        module = self.module
        padded = F.pad(x, list(module._reversed_padding_repeated_twice))
        sizes = padded.shape[2:]
        outs = [(size - dilation * (kernel - 1) - 1) // stride + 1
                for size, kernel, stride, dilation in zip(
                    sizes, module.kernel_size, module.stride, module.dilation)]
        index = torch.zeros(*places.shape, 1, dtype=torch.long, device=x.device)
        for dim, size in enumerate(sizes):
            position = places // math.prod(outs[dim + 1:]) % outs[dim]
            offsets = torch.arange(module.kernel_size[dim], device=x.device) * module.dilation[dim]
            along = position[..., None] * module.stride[dim] + offsets  # [B, P, kernel]
            index = ((index * size)[..., None] + along[..., None, :]).flatten(2)
        flat = padded.flatten(2)
        taken = flat.gather(2, index.flatten(1)[:, None].expand(-1, flat.shape[1], -1))
        return taken.view(*flat.shape[:2], *index.shape[1:])


class DepthwiseRows(ConvRows):
    """A convolution that makes each channel from one alone: a map [C, N, K] by channel."""

    def outputs(self, output: Tensor, places: Tensor) -> Tensor:
        return super().outputs(output, places).T[..., None]

    def inputs(self, x: Tensor, places: Tensor) -> Tensor:
        taps = self._taps(x, places.to(x.device))
        return with_ones(taps.permute(1, 0, 2, 3).flatten(1, 2), self.module.bias)

    def weight(self) -> Tensor:
        return super().weight()[:, None]

    def keep(self, targets: Tensor, channels: Tensor) -> Tensor:
        return targets[channels]
