"""Step sizes at a bound of their bit widths follow the range, which learns through both.

At a bound d = q_m^t / L with the levels L of that bound. A step size that the gradient presses
against its bound cannot move on its own: its gradient acts on q_m and t by the chain rule, as it
does where finetuning has bound d to whole bits. One that the gradient pulls inside is free.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from razor_ext.pruning.channel_index import gather_sums

from .projection import BitBank

#: Step sizes nearer to their bound than this (in log d: a hundredth of a bit or so) are at it.
_NEAR = 0.01


@dataclass
class Bound:
    """Step sizes that follow their range through one step of the plain optimizer.

    Attributes:
        held: Bool [N].
        levels: log of the number of steps that each keeps [N].
    """

    held: Tensor
    levels: Tensor


@torch.no_grad()
def bind_(bank: BitBank, limits: tuple[Tensor, Tensor]) -> Bound:
    """Hand the gradients of step sizes that are pressed against their bound to their ranges.

    Args:
        bank: Quantizers; the gradients of their scales are changed in place.
        limits: Of :meth:`BitBank.limits`.
    """
    low, high = limits
    span, log_d = bank.log_range(), bank.log_d()
    grad = bank.step_size_gradients()
    finest, coarsest = log_d <= span - high + _NEAR, log_d >= span - low - _NEAR
    pressed = (finest & (grad >= 0)) | (coarsest & (grad <= 0))
    handed = grad.masked_fill(~pressed, 0)
    if bank.learns_t:
        handed_t = handed * bank.t()
        _add(bank.exponents, gather_sums([handed_t * bank.log_q_m()], bank.exponent_table))
        handed = handed_t
    if bank.range_table is not None:
        handed = gather_sums([handed], bank.range_table)
    _add(bank.clip_ranges, handed)
    _scale(bank.step_sizes, (~pressed).to(grad.dtype))
    return Bound(pressed, torch.where(finest, high, low))


@torch.no_grad()
def follow_(bank: BitBank, bound: Bound) -> None:
    """Set the step sizes that are held to their bound, after the plain step."""
    log_d = torch.where(bound.held, bank.log_range() - bound.levels, bank.log_d())
    bank.set_log_d_(log_d)


def _parts(params: Sequence[Tensor], flat: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients that exist, and what belongs to them of a concatenation."""
    parts = flat.split([p.numel() for p in params])
    pairs = [(p.grad, part.view_as(p)) for p, part in zip(params, parts) if p.grad is not None]
    return [grad for grad, _ in pairs], [part for _, part in pairs]


def _add(params: Sequence[Tensor], flat: Tensor) -> None:
    grads, parts = _parts(params, flat)
    if grads:
        torch._foreach_add_(grads, parts)


def _scale(params: Sequence[Tensor], flat: Tensor) -> None:
    grads, parts = _parts(params, flat)
    if grads:
        torch._foreach_mul_(grads, parts)
