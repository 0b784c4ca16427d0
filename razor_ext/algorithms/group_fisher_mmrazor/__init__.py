"""GroupFisher over MMRazor's dynamic layers: what MMPose's published pruning configs use.

The classes take the names that MMRazor's own have in its registries, so published configs,
checkpoints and structure files go on working. `mmrazor.GroupFisher` prunes over the dependency
graph instead.
"""
import mmrazor.implementations  # noqa: F401  registers first the names that are taken over

from .algorithm import GroupFisherAlgorithm, GroupFisherDDP
from .hooks import PruningStructureHook, ResourceInfoHook
from .mutator import GroupFisherChannelMutator
from .sub_models import GroupFisherDeploySubModel, GroupFisherSubModel
from .unit import GroupFisherChannelUnit

__all__ = [
    'GroupFisherAlgorithm', 'GroupFisherChannelMutator', 'GroupFisherChannelUnit',
    'GroupFisherDDP', 'GroupFisherDeploySubModel', 'GroupFisherSubModel', 'PruningStructureHook',
    'ResourceInfoHook'
]
