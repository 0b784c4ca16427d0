"""Channel unit of GroupFisher: which layers it drives and what its channels are worth."""
from __future__ import annotations

from collections.abc import Iterator

from mmengine.model.utils import _BatchNormXd
from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm as EngineSyncBatchNorm
from mmrazor.implementations.pruning.group_fisher import unit as upstream
from mmrazor.models.mutables import MutableChannelContainer
from mmrazor.registry import MODELS
from torch import Tensor, nn

from .decisions import FisherUnit
from .ops import (
    FisherMixin,
    GroupFisherBatchNorm2d,
    GroupFisherBatchNormXd,
    GroupFisherConv2d,
    GroupFisherLinear,
    GroupFisherSyncBatchNorm,
)

#: Layers that a GroupFisher run replaces, and by what.
DYNAMIC_LAYERS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: GroupFisherConv2d,
    nn.Linear: GroupFisherLinear,
    nn.BatchNorm2d: GroupFisherBatchNorm2d,
    nn.SyncBatchNorm: GroupFisherSyncBatchNorm,
    EngineSyncBatchNorm: GroupFisherSyncBatchNorm,
    _BatchNormXd: GroupFisherBatchNormXd,
}


@MODELS.register_module(force=True)
class GroupFisherChannelUnit(FisherUnit, upstream.GroupFisherChannelUnit):
    """Channel unit of GroupFisher, https://arxiv.org/abs/2108.00708.

    Args:
        num_channels: number of channels.
        normalization_type: what the Fisher information is divided by: 'flops', 'act' (activation
            memory) or 'none'.
        mutate_linear: whether units that feed a linear layer are pruned.
    """

    def prepare_for_pruning(self, model: nn.Module) -> None:
        """Replace the unit's layers by dynamic ones and give them its mask.

        Args:
            model: the model to be pruned.
        """
        self._replace_with_dynamic_ops(model, DYNAMIC_LAYERS)
        self._register_channel_container(model, MutableChannelContainer)
        self._register_mutable_channel(self.mutable_channel)

    @property
    def input_related_dynamic_ops(self) -> Iterator[FisherMixin]:
        """Layers that consume the unit's channels and gather statistics."""
        return (channel.module for channel in self.input_related
                if isinstance(channel.module, FisherMixin))

    @property
    def output_related_dynamic_ops(self) -> Iterator[FisherMixin]:
        """Layers that produce the unit's channels."""
        return (channel.module for channel in self.output_related
                if isinstance(channel.module, FisherMixin))

    def batch_fisher(self, num_samples: int) -> Tensor:
        """Return the Fisher information that the last step gave each channel.

        A sample's contributions are summed over every use of the channel before they are squared
        (equation 4 of the paper). MMRazor reads the first columns of a concatenated input whichever
        of its parts the unit is; here each unit reads its own.

        Args:
            num_samples: samples of the step. Layers that fold frames or strips into the batch have
                a multiple of it as rows, sample-major.

        Returns:
            Sums over the samples of squared contributions [num_channels], float32.

        Raises:
            RuntimeError: no layer that consumes the channels took part in the step.
        """
        active, total = int(self.mutable_channel.activated_channels), None
        for channel in self.input_related:
            layer = channel.module
            if not isinstance(layer, FisherMixin) or layer.fisher is None:
                continue
            columns = layer.fisher[:, layer.active_span('in_channels', channel.start, channel.end)]
            rows = columns.reshape(num_samples, -1, active, columns.shape[1] // active)
            rows = rows.sum((1, 3))
            total = rows if total is None else total + rows
        if total is None:
            raise RuntimeError(
                f'unit {self.name!r} got no gradient in this step: the layers that consume it '
                '(' + ', '.join(str(channel.name) for channel in self.input_related) + ') were not '
                'run or not recorded. Freeze nothing behind a pruned unit')
        info = total.new_zeros(self.num_channels)
        info[self.mutable_channel.current_mask] = total.square().sum(0)
        return info
