"""Contributions x * dL/dx at the input of a layer, gathered while the gradient passes.

MMRazor keeps every layer input and its gradient until the end of a step. Here the product is
reduced when the gradient arrives, in float32: nothing is kept, and half precision cannot overflow.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class FisherTap(torch.autograd.Function):
    """Identity whose backward hands input and gradient to a function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, receive: Callable[[Tensor, Tensor], None]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.receive = receive
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        ctx.receive(ctx.saved_tensors[0], grad)
        return grad, None


def contributions(x: Tensor, grad: Tensor, input_channel_dim: int) -> Tensor:
    """Return sum(x * dL/dx) per row of the batch and channel [N, C], float32.

    Args:
        x: input of a layer [N, ..., C, ...].
        grad: gradient of the loss to it, same shape.
        input_channel_dim: dimension of the channels.
    """
    product = x.float() * grad.float()
    dim = input_channel_dim % x.dim()
    others = [i for i in range(1, x.dim()) if i != dim]
    return product.sum(others) if others else product


class InputTap:
    """Records the contributions at the input of an ordinary layer during one step.

    Args:
        layer: the layer; its input comes first in its call.
        name: its name, for messages.
        input_channel_dim: dimension of the input that holds the channels.
    """

    def __init__(self, layer: nn.Module, name: str, input_channel_dim: int) -> None:
        self.layer, self.name, self.input_channel_dim = layer, name, input_channel_dim
        self.rows: list[Tensor] = []

    def attach(self) -> RemovableHandle:
        """Start recording; removing the handle stops it."""
        self.rows = []
        return self.layer.register_forward_pre_hook(self._tap)

    def _tap(self, layer: nn.Module, args: tuple) -> tuple | None:
        if not (torch.is_grad_enabled() and args and args[0].requires_grad):
            return None
        return (FisherTap.apply(args[0], self._receive), *args[1:])

    @torch.no_grad()
    def _receive(self, x: Tensor, grad: Tensor) -> None:
        self.rows.append(contributions(x, grad, self.input_channel_dim))

    def per_sample(self, num_samples: int) -> Tensor | None:
        """Return the contributions of each sample, all uses of the layer together.

        Args:
            num_samples: samples of the step. Layers that fold frames or strips into the batch have
                a multiple of it as rows, sample-major.

        Returns:
            Float32 [num_samples, input channels]; None if no gradient has passed.

        Raises:
            RuntimeError: the rows are no multiple of the samples.
        """
        total = None
        for rows in self.rows:
            if len(rows) % num_samples:
                raise RuntimeError(
                    f'layer {self.name!r} has {len(rows)} rows for {num_samples} samples: the '
                    'first dimension of its input must be the batch, or the batch times frames or '
                    'strips. Name it in the keep list of the mutator')
            folded = rows.reshape(num_samples, -1, rows.shape[1]).sum(1)
            total = folded if total is None else total + folded
        return total


class ParameterTaps:
    """Records sum(w * dL/dw) over all but one dimension of parameters during one step.

    A product is linear in its weight, so this is the sum of the contributions x * dL/dx of the
    whole batch. Each rank records the gradient of its own samples, before it is averaged.

    Args:
        slots: (name, dimension) -> parameter.
    """

    def __init__(self, slots: Mapping[tuple[str, int], Tensor]) -> None:
        # In tuples: the parameters belong to another module.
        self._slots = [(slot, (parameter, )) for slot, parameter in slots.items()]
        self.sums: dict[tuple[str, int], Tensor] = {}

    def attach(self) -> list[RemovableHandle]:
        """Start recording; removing the handles stops it."""
        self.sums = {}
        return [parameter.register_hook(self._receiver(slot, parameter))
                for slot, (parameter, ) in self._slots if parameter.requires_grad]

    def _receiver(self, slot: tuple[str, int], parameter: Tensor) -> Callable[[Tensor], None]:
        @torch.no_grad()
        def receive(gradient: Tensor) -> None:
            product = parameter.float() * gradient.float()
            others = [i for i in range(product.dim()) if i != slot[1]]
            values = product.sum(others) if others else product
            self.sums[slot] = self.sums.get(slot, 0) + values

        return receive
