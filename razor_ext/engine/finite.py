"""Gradients that are not finite: skip the step, count, and stop when it persists."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_SMALL = 4096


class FiniteGuard:
    """Counts steps whose gradients are not finite, on the device.

    Args:
        device: Where the counters live.
        patience: Consecutive bad steps after which the run is stopped.

    Raises:
        ValueError: A patience below 1.
    """

    def __init__(self, device: torch.device, patience: int) -> None:
        if patience < 1:
            raise ValueError(f'max_skipped_steps={patience}: at least 1 is needed')
        self.patience = patience
        self.consecutive = torch.zeros((), dtype=torch.int32, device=device)
        self.total = torch.zeros((), dtype=torch.int32, device=device)
        pinned = device.type == 'cuda'
        # On CUDA the host reads a copy that arrives on its own, a step or so late, and never waits.
        self._seen = torch.zeros((), dtype=torch.int32, pin_memory=pinned)

    def check(self, grads: Sequence[Tensor]) -> Tensor:
        """Look at the gradients of a step and count.

        Returns:
            0-dim bool tensor on the device: whether all are finite.

        Raises:
            RuntimeError: Too many consecutive steps were not finite.
        """
        if not grads:
            return torch.ones((), dtype=torch.bool, device=self.consecutive.device)
        # One reduction for all small ones: their number costs more than their size.
        large = [g for g in grads if g.numel() > _SMALL]
        small = [g.reshape(-1) for g in grads if g.numel() <= _SMALL]
        sums = list(torch._foreach_norm(large)) if large else []
        if small:
            sums.append(torch.cat(small).norm())
        finite = torch.stack(sums).sum().isfinite()
        bad = (~finite).to(torch.int32)
        self.total += bad
        self.consecutive.copy_((self.consecutive + 1) * bad)
        self._seen.copy_(self.consecutive, non_blocking=True)
        if int(self._seen) >= self.patience:
            raise RuntimeError(
                f'gradients were NaN or infinite in {int(self._seen)} consecutive steps '
                f'({int(self.total)} in all), which were skipped: lower the learning rate, clip '
                'gradients, or look for the fault in the data or loss')
        return finite

    def state_dict(self) -> dict[str, Any]:
        """Counters."""
        return {'consecutive': self.consecutive.clone(), 'total': self.total.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore counters."""
        self.consecutive.copy_(state['consecutive'])
        self.total.copy_(state['total'])
