"""What the rounding of each tensor changes the loss by, from the gradients of step sizes.

The gradient of the loss to log d is <g, x_Q - x>, the change of the loss by the rounding to first
order. Its mean square over the batches of a run is, up to a factor common to all tensors, the
change of second order with the Fisher information in the place of the Hessian. A step twice as wide
changes the loss four times as much, so that the figure of one bit width gives those of all others.
"""
from __future__ import annotations

import torch
from torch import Tensor

from razor_ext.pruning.channel_index import gather_sums, padded_table

from .projection import BitBank

_DECAY = 0.99


class RoundingLoss:
    """Running mean square of what the rounding of each tensor changes the loss by.

    Args:
        bank: Quantizers, n.

    Attributes:
        mean: The figure at 0 bits [n], float64, in the state of the run.
    """

    def __init__(self, bank: BitBank) -> None:
        self._bank = bank
        self.mean = torch.zeros(len(bank.handles), dtype=torch.float64, device=bank.device)
        owners = torch.arange(len(bank.handles)).repeat_interleave(torch.tensor(bank.sizes))
        self._table = padded_table(owners, len(bank.handles)).to(bank.device)
        self._sizes = torch.tensor(bank.sizes, dtype=torch.float64, device=bank.device)

    @torch.no_grad()
    def record(self, grad: Tensor, finite: Tensor) -> None:
        """Take the gradients of a step.

        Args:
            grad: Of the concatenated log d [N].
            finite: 0-dim bool: whether the step is taken.
        """
        bank, grad = self._bank, grad.double()
        levels = torch.exp((bank.log_range() - bank.log_d()).double())
        elements = torch.tensor([float(h.scaled_elements) for h in bank.handles],
                                dtype=torch.float64).to(bank.device)
        scaled = gather_sums([grad * levels.sqrt()], self._table) * elements.sqrt()
        change = torch.where(elements > 0, scaled, gather_sums([grad], self._table))
        bits = gather_sums([bank.bits().double()], self._table) / self._sizes
        square = change.square() * 4 ** bits
        now = torch.where(self.mean > 0, _DECAY * self.mean + (1 - _DECAY) * square, square)
        self.mean = torch.where(finite, now, self.mean)
