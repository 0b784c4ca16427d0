"""Pruning by the first-order change of the loss."""
from __future__ import annotations

import torch
from mmengine import dist
from mmrazor.registry import MODELS
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from razor_ext.pruning import ChannelIndex, Criterion, CriterionPruning, GraphMutator
from razor_ext.pruning.taps import ParameterTaps


class TaylorCriterion(Criterion):
    """Squared first-order change of the loss, summed over steps (Molchanov et al., CVPR 2019).

    Attributes:
        changes: Float [C], (sum of w * dL/dw over what produces the channel)^2, summed since the
            last pruning.
    """

    changes: Tensor

    def prepare(self, architecture: nn.Module, mutator: GraphMutator) -> None:
        """Tap the parameters that produce channels; see the base class."""
        index = mutator.channel_index(architecture)
        self.register_buffer('changes', torch.zeros(index.total))
        self._taps = ParameterTaps({(entry.name, entry.dim): entry.param
                                    for entry in index.entries})

    def attach(self) -> list[RemovableHandle]:
        """Record the gradients of the parameters; see the base class."""
        return self._taps.attach()

    def record(self, index: ChannelIndex, pruned: Tensor, num_samples: int,
               grad_scale: Tensor | float) -> None:
        """Add the change that the step tells, averaged over the ranks; see the base class."""
        sums = self._taps.sums
        change = index.position_sums([
            sums.get((entry.name, entry.dim),
                     torch.zeros(entry.param.shape[entry.dim], device=index.device))
            for entry in index.entries]) / (grad_scale * dist.get_world_size())
        change = torch.where(torch.isfinite(change).all(), change, torch.zeros_like(change))
        dist.all_reduce(change)
        self.changes += change.square()

    def scores(self, index: ChannelIndex) -> Tensor:
        """Return the changes [C]."""
        return self.changes

    def reset(self) -> None:
        """Forget the changes."""
        self.changes.zero_()


@MODELS.register_module()
class TaylorPruning(CriterionPruning):
    """Prunes the same share of every unit by the first-order change of the loss.

    Args:
        architecture: the dense model, or its config.
        kwargs: see `CriterionPruning`.
    """

    title = 'taylor'
    target_defaults = dict(uniform=True)

    def build_criterion(self) -> TaylorCriterion:
        """Make the Taylor criterion."""
        return TaylorCriterion()
