"""GroupFisher over the dependency graph."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from mmrazor.registry import MODELS
from torch import Tensor

from razor_ext.pruning import CriterionPruning
from razor_ext.structure.rebuild import layout_versions, with_versions

from .criterion import FisherCriterion


@MODELS.register_module()
class GroupFisher(CriterionPruning):
    """GroupFisher pruning (https://arxiv.org/abs/2108.00708) of any model that the graph takes.

    Without a target a channel, or a block of `divisor` channels, is pruned at every interval, as by
    MMRazor's own algorithm, which is `GroupFisherAlgorithm`.

    Args:
        architecture: the dense model, or its config.
        normalization: what the importance of a channel is divided by: 'act', the memory of its
            activations, 'flops', its MACs, or 'none'.
        kwargs: see `CriterionPruning`.

    Example:
        >>> MODELS.build(dict(type='mmrazor.GroupFisher', architecture=dense_config,
        ...                   target=dict(kind='macs', ratio=0.5)))
    """

    title = 'group_fisher'
    # Importance is normalised by cost already.
    target_defaults = dict(per_cost=False, give_back=False, per_unit=False)

    def __init__(self, architecture: BaseModel | dict, normalization: str = 'act',
                 **kwargs: Any) -> None:
        self._normalization = normalization
        super().__init__(architecture, **kwargs)
        self._register_load_state_dict_pre_hook(self._upgrade, with_module=False)

    def build_criterion(self) -> FisherCriterion:
        """Make the Fisher criterion."""
        return FisherCriterion(self._normalization)

    def _upgrade(self, state: dict[str, Tensor], *_: Any) -> None:
        state.update(upgraded_state(state))

    def run_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights, masks and statistics, of checkpoints of former versions too."""
        upgraded: OrderedDict[str, Tensor] = OrderedDict(state, **upgraded_state(state))
        versions = layout_versions(state)
        if versions is not None:
            upgraded = with_versions(upgraded, versions)
        return super().run_state(upgraded)


def upgraded_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return masks and statistics that a checkpoint of version 0.1 holds unit by unit.

    Args:
        state: state dict of a run of `GroupFisherAlgorithm` with a `GraphGroupFisherMutator`.
    """
    def gather(name: str) -> list[Tensor]:
        keys = (f'mutator.units.{i}.{name}' for i in range(len(state)))
        found = []
        for key in keys:
            if key not in state:
                break
            found.append(state[key])
        return found

    masks, infos = gather('mutable_channel.mask'), gather('normalized_fisher_info')
    if not masks or 'masks.pruned' in state:
        return {}
    return {'masks.pruned': torch.cat(masks) == 0, 'criterion.info': torch.cat(infos)}
