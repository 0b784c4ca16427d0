"""GroupFisher pruning (https://arxiv.org/abs/2108.00708): MMRazor's, made whole.

The classes take the names that MMRazor's own have in its registries, so published configs run
unchanged.
"""
from .algorithm import GroupFisherAlgorithm, GroupFisherDDP
from .hooks import PruningStructureHook, ResourceInfoHook
from .mutator import GroupFisherChannelMutator, NothingToPruneError
from .sub_models import GroupFisherDeploySubModel, GroupFisherSubModel
from .unit import GroupFisherChannelUnit

__all__ = [
    'GroupFisherAlgorithm', 'GroupFisherChannelMutator', 'GroupFisherChannelUnit',
    'GroupFisherDDP', 'GroupFisherDeploySubModel', 'GroupFisherSubModel', 'NothingToPruneError',
    'PruningStructureHook', 'ResourceInfoHook'
]
