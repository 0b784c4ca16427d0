"""What is not finite: gradients, whose step is skipped, and statistics, which are taken back."""
from __future__ import annotations

import math
import types
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

_SMALL = 4096
#: Skipped steps in a row after which a run is stopped.
PATIENCE = 50
_STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


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
        # Largest magnitudes: a sum of squares overflows where every gradient is finite.
        highest = list(torch._foreach_norm(large, math.inf)) if large else []
        if small:
            highest.append(torch.cat(small).norm(math.inf))
        finite = torch.stack(highest).isfinite().all()
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


def skip_bad_steps(optimizer: Optimizer, patience: int = PATIENCE) -> None:
    """Let an optimizer leave out steps whose gradients are not finite.

    Such a step changes no parameter and no moment, and hooks of the optimizer do not see it.

    Args:
        optimizer: any of torch's.
        patience: consecutive bad steps after which the run is stopped.
    """
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    guard = FiniteGuard(parameters[0].device, patience)
    step = optimizer.step

    @torch.compiler.disable
    def finite_step(self: Optimizer, closure: Any = None) -> Any:
        # A model may have moved to another device since.
        device = parameters[0].device
        guard.consecutive, guard.total = guard.consecutive.to(device), guard.total.to(device)
        grads = [p.grad for p in parameters if p.grad is not None]
        grads = [grad.coalesce().values() if grad.is_sparse else grad for grad in grads]
        if not bool(guard.check(grads)):
            return None
        return step() if closure is None else step(closure)

    # A method, since schedulers wrap it.
    vars(optimizer)['step'] = types.MethodType(finite_step, optimizer)


class StatisticsGuard:
    """Takes back what a forward of training does to running statistics if it ruins them.

    One NaN or infinite input makes the statistics of a batch norm NaN for good, though the step is
    skipped. Nothing of it is read by the host.

    Args:
        model: the model whose forward is guarded, from now on.
    """

    def __init__(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, _NormBase)]
        self._norms = [norm for norm in norms if norm.running_mean is not None]
        self._before: list[Tensor] = []
        model.register_forward_pre_hook(self._keep)
        model.register_forward_hook(self._check)

    def _buffers(self) -> list[Tensor]:
        return [buffer for norm in self._norms for name in _STATISTICS
                if (buffer := getattr(norm, name)) is not None]

    @torch.no_grad()
    def _keep(self, module: nn.Module, inputs: Any) -> None:
        self._before = ([buffer.clone() for buffer in self._buffers()]
                        if module.training and self._norms else [])

    @torch.no_grad()
    def _check(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not self._before:
            return
        now = self._buffers()
        finite = torch.cat([buffer.reshape(-1).float() for buffer in now]).isfinite().all()
        for buffer, before in zip(now, self._before):
            # Past autograd, which has saved the buffer for a backward that does not read it.
            buffer.data.copy_(torch.where(finite, buffer, before))
        self._before = []
