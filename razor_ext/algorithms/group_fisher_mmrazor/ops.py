"""Dynamic layers that gather Fisher statistics while the gradient passes."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model.utils import _BatchNormXd
from mmrazor.models.architectures import dynamic_ops
from torch import Tensor, nn

from razor_ext.pruning.taps import FisherTap, contributions

from .channel_index import ChannelIndexMixin, select


class KeepParametersMixin(ChannelIndexMixin):
    """Conversion that keeps the layer's own parameters and buffers."""

    @classmethod
    def convert_from(cls, module: nn.Module) -> nn.Module:
        """Return the dynamic twin of `module`, holding the same parameter objects."""
        twin = super().convert_from(module)
        for name, parameter in module.named_parameters(recurse=False):
            setattr(twin, name, parameter)
        for name, buffer in module.named_buffers(recurse=False):
            twin._buffers[name] = buffer
        return twin.train(module.training)


class FisherMixin(KeepParametersMixin):
    """Accumulates sum(x * dL/dx) per sample and input channel during one step.

    Attributes:
        input_channel_dim: dimension of the input that holds the channels.
        recording: whether the next forward is recorded.
        fisher: statistics [rows, active input channels] of the step, None before its backward.
    """
    input_channel_dim = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.recording = False
        self.fisher: Tensor | None = None

    def start_record(self) -> None:
        """Forget the last step and record the next one."""
        self.fisher = None
        self.recording = True

    def end_record(self) -> None:
        """Stop recording; the statistics stay readable."""
        self.recording = False

    @torch.no_grad()
    def add_fisher(self, x: Tensor, grad: Tensor) -> None:
        """Add one use of the layer to the statistics of the step.

        Args:
            x: input [N, ..., C, ...].
            grad: gradient of the loss to it, same shape.
        """
        rows = contributions(x, grad, self.input_channel_dim)
        self.fisher = rows if self.fisher is None else self.fisher + rows

    def forward(self, x: Tensor) -> Tensor:
        """Forward of the dynamic layer, tapped while recording."""
        if self.recording and torch.is_grad_enabled() and x.requires_grad:
            x = FisherTap.apply(x, self.add_fisher)
        return super().forward(x)


class GroupFisherConv2d(FisherMixin, dynamic_ops.DynamicConv2d):
    """Conv2d of a GroupFisher run."""

    def _get_dynamic_params_by_mutable_channels(
            self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        depthwise = self.groups == self.in_channels == self.out_channels
        if self.groups != 1 and not depthwise:
            return super()._get_dynamic_params_by_mutable_channels(weight, bias)
        out_index = self.channel_index('out_channels')
        weight = select(weight, 0, out_index)
        if not depthwise:
            weight = select(weight, 1, self.channel_index('in_channels'))
        return weight, select(bias, 0, out_index)


class GroupFisherLinear(FisherMixin, dynamic_ops.DynamicLinear):
    """Linear of a GroupFisher run; the channels are the last dimension."""
    input_channel_dim = -1

    def get_dynamic_params(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias of the active channels."""
        out_index = self.channel_index('out_channels')
        weight = select(select(self.weight, 0, out_index), 1, self.channel_index('in_channels'))
        return weight, select(self.bias, 0, out_index)


class _BatchNormMixin(KeepParametersMixin):
    """Batch normalisation that indexes its statistics by cached positions."""

    def get_dynamic_params(self) -> tuple[Tensor | None, ...]:
        """Return running mean, running variance, weight and bias of the active channels."""
        index = self.channel_index('out_channels')
        return tuple(select(tensor, 0, index) for tensor in (
            self.running_mean, self.running_var, self.weight, self.bias))


class GroupFisherBatchNorm2d(_BatchNormMixin, dynamic_ops.DynamicBatchNorm2d):
    """BatchNorm2d of a GroupFisher run."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, updating the running statistics of the active channels only."""
        self._check_input_dim(x)
        momentum = 0.0 if self.momentum is None else self.momentum
        tracking = self.training and self.track_running_stats
        if tracking:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        mean, var, weight, bias = self.get_dynamic_params()
        use_batch = self.training or mean is None
        use_running = not self.training or self.track_running_stats
        out = F.batch_norm(x, mean if use_running else None, var if use_running else None,
                           weight, bias, use_batch, momentum, self.eps)
        index = self.channel_index('out_channels')
        if tracking and index is not None:
            self.running_mean.index_copy_(0, index, mean)
            self.running_var.index_copy_(0, index, var)
        return out


class GroupFisherBatchNormXd(GroupFisherBatchNorm2d):
    """The dimension-free batch normalisation that MMEngine reverts SyncBN to."""

    @property
    def static_op_factory(self) -> type:
        """Layer type after pruning."""
        return _BatchNormXd

    def _check_input_dim(self, x: Tensor) -> None:
        """Accept any number of dimensions."""


class GroupFisherSyncBatchNorm(_BatchNormMixin, dynamic_ops.DynamicSyncBatchNorm):
    """SyncBatchNorm of a GroupFisher run."""
