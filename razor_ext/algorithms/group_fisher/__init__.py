"""GroupFisher pruning (https://arxiv.org/abs/2108.00708): MMRazor's, made whole.

The classes take the names that MMRazor's own have in its registries, so published configs run
unchanged. `GraphGroupFisherMutator` takes its units from our dependency graph instead.
"""
import mmrazor.implementations  # noqa: F401  registers first the names that are taken over

from .algorithm import GroupFisherAlgorithm, GroupFisherDDP
from .decisions import NothingToPruneError
from .graph_export import GroupFisherExportHook
from .graph_mutator import GraphGroupFisherMutator
from .hooks import PruningStructureHook, ResourceInfoHook
from .mutator import GroupFisherChannelMutator
from .sub_models import GroupFisherDeploySubModel, GroupFisherSubModel
from .unit import GroupFisherChannelUnit

__all__ = [
    'GraphGroupFisherMutator', 'GroupFisherAlgorithm', 'GroupFisherChannelMutator',
    'GroupFisherChannelUnit', 'GroupFisherDDP', 'GroupFisherDeploySubModel',
    'GroupFisherExportHook', 'GroupFisherSubModel', 'NothingToPruneError', 'PruningStructureHook',
    'ResourceInfoHook'
]
