"""Pruning by the L1 norm of the weights."""
from __future__ import annotations

from mmrazor.registry import MODELS
from torch import Tensor

from razor_ext.pruning import ChannelIndex, Criterion, CriterionPruning


class L1Criterion(Criterion):
    """L1 norm of the weights that produce a channel (Li et al., ICLR 2017)."""

    def scores(self, index: ChannelIndex) -> Tensor:
        """Return the norms [C]; biases and norm affines do not count."""
        return index.sums([param.detach().abs() if param.dim() > 1 else None
                           for param in index.params])


@MODELS.register_module()
class L1Pruning(CriterionPruning):
    """Prunes the same share of every unit by the L1 norm of its weights.

    Args:
        architecture: the dense model, or its config.
        kwargs: see `CriterionPruning`.
    """

    title = 'l1'
    target_defaults = dict(uniform=True)

    def build_criterion(self) -> L1Criterion:
        """Make the L1 criterion."""
        return L1Criterion()
