"""How QASSO forgets active groups: per-layer rates and step sizes that keep descent.

With c the clipped weights of the active rows of a layer, r the signed rounding residual, and s the
plain step (s = lr * v, taken as parameters before minus after, so that it holds for every variant
and for decoupled decay), the rows move by -s - gamma * (c + d * r). The rate gamma spends at most a
share 1 - eta of the descent |s|^2, the residual at most a share xi * eta.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_TINY = 1e-8
_SHRINK = 0.8


@dataclass(frozen=True)
class ForgetRule:
    """Constants of the rule.

    Args:
        eta: Share of the descent that gamma must leave.
        xi: Share of that descent which the rounding residual may spend.
        forced: Share of a period, at its end, in which gamma is at least 1 / (steps left). The
            rate that keeps descent is close to 0 where forgetting ascends: with ``forced=0``, as
            published, most groups die by being zeroed when the period closes.

    Raises:
        ValueError: A share outside [0, 1], or ``eta`` or ``xi`` of 0.
    """

    eta: float = 0.999
    xi: float = 0.9
    forced: float = 1.0

    def __post_init__(self) -> None:
        for name in ('eta', 'xi', 'forced'):
            value = getattr(self, name)
            if not 0. <= value <= 1. or (value == 0. and name != 'forced'):
                raise ValueError(f'{name}={value}: a share lies in [0, 1]; eta and xi above 0')

    def is_forced(self, left: int, period: int) -> bool:
        """Whether gamma has a floor with ``left`` of ``period`` steps to go."""
        return left <= math.ceil(self.forced * period)

    def rates(self, norm: Tensor, product: Tensor, step_sq: Tensor, left: int,
              forced: bool) -> Tensor:
        """gamma per block.

        Args:
            norm: |c|.
            product: <c, s>.
            step_sq: |s|^2.
            left: Steps to the end of the period, this one included.
            forced: See :meth:`is_forced`.
        """
        even = 1. / left
        if forced:
            return torch.full_like(norm, even)
        kept = (1 - self.eta) * step_sq / (-product).clamp_min(1e-30)
        gamma = torch.where(product >= 0, torch.full_like(norm, even), kept.clamp_max(even))
        return torch.where(norm < _TINY, torch.zeros_like(gamma), gamma)

    def step_sizes(self, gamma: Tensor, product: Tensor, step_sq: Tensor, log_fine: Tensor,
                   log_coarse: Tensor, forced: bool) -> tuple[Tensor, Tensor]:
        """gamma and log d per layer.

        Args:
            gamma: Rates.
            product: <r, s>.
            step_sq: |s|^2.
            log_fine, log_coarse: log d at the most and at the fewest bits.
            forced: Whether gamma has a floor, and is not to be lowered.
        """
        bound = self.xi * self.eta * step_sq / (gamma * -product).clamp_min(1e-30)
        log_d = torch.where((product >= 0) | (gamma == 0), log_coarse, bound.clamp_min(1e-30).log())
        # The smallest number of shrinkings that brings d to its finest allowed value.
        unit = -math.log(_SHRINK)
        shrinkings = torch.ceil(((log_fine - log_d) / unit).clamp_min(0))
        if not forced:
            gamma = gamma * torch.exp(-unit * shrinkings)
        return gamma, torch.minimum(log_d + unit * shrinkings, log_coarse)
