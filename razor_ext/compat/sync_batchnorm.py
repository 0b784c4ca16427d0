"""SyncBatchNorm on tensors that are not on an accelerator.

torch and MMRazor refuse CPU tensors in training as soon as a process group exists, so a gloo run
(two processes without a GPU) cannot train any RTMPose. The statistics are gathered here with
differentiable all-reduces; results equal those of one process over the joined batch.
"""
from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .repair import RepairSpec


class _AllReduceSum(torch.autograd.Function):
    """Sum over the ranks; its adjoint is again the sum of the gradients over the ranks."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Any) -> Tensor:
        ctx.group = group
        total = tensor.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


def synced_batch_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None,
                      running_mean: Tensor | None, running_var: Tensor | None,
                      eps: float, momentum: float, group: Any = None) -> Tensor:
    """Batch normalisation over the joined batch of all ranks.

    Args:
        x: input [N, C, ...] of this rank.
        weight: scale [C] or None.
        bias: shift [C] or None.
        running_mean: running mean [C], updated in place, or None.
        running_var: running (unbiased) variance [C], updated in place, or None.
        eps: added to the variance.
        momentum: weight of the new statistics in the running ones.
        group: process group, None for the default one.

    Returns:
        The normalised tensor, of the shape of `x`.
    """
    dims = [0, *range(2, x.dim())]
    shape = [1, -1] + [1] * (x.dim() - 2)
    wide = x.float()
    count = wide.new_tensor([x.numel() / x.shape[1]])
    dist.all_reduce(count, group=group)
    mean = _AllReduceSum.apply(wide.sum(dims), group) / count
    centered = wide - mean.view(shape)
    var = _AllReduceSum.apply(centered.pow(2).sum(dims), group) / count
    if running_mean is not None and running_var is not None:
        unbiased = var.detach() * count / (count - 1).clamp(min=1)
        running_mean.lerp_(mean.detach().to(running_mean.dtype), momentum)
        running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    out = centered * torch.rsqrt(var + eps).view(shape)
    if weight is not None:
        out = out * weight.view(shape)
    if bias is not None:
        out = out + bias.view(shape)
    return out.to(x.dtype)


def _needs_sync(module: Any) -> bool:
    if not (module.training and dist.is_available() and dist.is_initialized()):
        return False
    return dist.get_world_size(module.process_group) > 1


def _step_momentum(module: Any) -> float:
    """Count the batch and return the weight of its statistics, as `_BatchNorm` does."""
    if not (module.training and module.track_running_stats):
        return 0.0 if module.momentum is None else module.momentum
    module.num_batches_tracked.add_(1)
    if module.momentum is None:
        return 1.0 / float(module.num_batches_tracked)
    return module.momentum


def patch_torch() -> bool:
    """Let nn.SyncBatchNorm train on CPU tensors under a process group.

    Returns:
        True if the repair was made, False where it is already in place.
    """
    if hasattr(nn.SyncBatchNorm.forward, 'accelerator_forward'):
        return False
    accelerator_forward = nn.SyncBatchNorm.forward

    def forward(self: nn.SyncBatchNorm, x: Tensor) -> Tensor:
        if x.device.type != 'cpu' or not _needs_sync(self):
            return accelerator_forward(self, x)
        momentum = _step_momentum(self)
        tracked = self.track_running_stats
        return synced_batch_norm(
            x, self.weight, self.bias, self.running_mean if tracked else None,
            self.running_var if tracked else None, self.eps, momentum, self.process_group)

    forward.accelerator_forward = accelerator_forward
    nn.SyncBatchNorm.forward = forward  # type: ignore[assignment]
    _let_ddp_pass()
    return True


def _let_ddp_pass() -> None:
    """Keep DistributedDataParallel from refusing CPU modules that hold SyncBatchNorm."""
    hand_over = DistributedDataParallel._passing_sync_batchnorm_handle

    def passing_sync_batchnorm_handle(self: DistributedDataParallel, module: nn.Module) -> None:
        if self.device_type != 'cpu':
            hand_over(self, module)

    DistributedDataParallel._passing_sync_batchnorm_handle = passing_sync_batchnorm_handle


def patch_mmrazor() -> bool:
    """Let MMRazor's DynamicSyncBatchNorm run on CPU tensors, synced where a group exists.

    Returns:
        True if the repair was made, False where it is already in place.
    """
    from mmrazor.models.architectures.dynamic_ops import DynamicSyncBatchNorm

    if hasattr(DynamicSyncBatchNorm.forward, 'accelerator_forward'):
        return False
    accelerator_forward = DynamicSyncBatchNorm.forward

    def forward(self: Any, x: Tensor) -> Tensor:
        if x.device.type != 'cpu':
            return accelerator_forward(self, x)
        momentum = _step_momentum(self)
        mean, var, weight, bias = self.get_dynamic_params()
        tracked = self.track_running_stats
        if _needs_sync(self):
            out = synced_batch_norm(x, weight, bias, mean if tracked else None,
                                    var if tracked else None, self.eps, momentum,
                                    self.process_group)
        else:
            batch_stats = self.training or mean is None
            use_running = not self.training or tracked
            out = F.batch_norm(x, mean if use_running else None, var if use_running else None,
                               weight, bias, batch_stats, momentum, self.eps)
        if self.training and tracked:
            mask = self._get_num_features_mask()
            self.running_mean.masked_scatter_(mask, mean)
            self.running_var.masked_scatter_(mask, var)
        return out

    forward.accelerator_forward = accelerator_forward
    DynamicSyncBatchNorm.forward = forward
    return True


REPAIRS = (
    RepairSpec('torch-sync-batch-norm', 'torch',
               'SyncBatchNorm refuses CPU tensors as soon as there is a process group',
               patch_torch),
    RepairSpec('mmrazor-dynamic-sync-batch-norm', 'mmrazor',
               "MMRazor's DynamicSyncBatchNorm refuses CPU tensors",
               patch_mmrazor),
)
