"""The core of pruning: units and their mutator, choosing, targets, schedule, masks, export.

An algorithm over the dependency graph is a criterion on this core (`CriterionPruning`), or an
optimizer that prunes by itself (`PruningAlgorithm`, as GETA does).
"""
from .algorithm import PruningAlgorithm
from .channel_index import ChannelIndex
from .chooser import Chooser
from .criterion import Criterion
from .criterion_pruning import CriterionPruning
from .errors import NothingTrainedError, TargetMissedError
from .export import Compressed
from .extract import extract
from .hook import PruningHook
from .mutator import GraphMutator
from .optim import OPTIMIZER_BUILDERS, CompressionOptimWrapperConstructor
from .schedule import PruneSchedule
from .targets import CostTarget, SparsityTarget

__all__ = ['OPTIMIZER_BUILDERS', 'ChannelIndex', 'Chooser', 'Compressed',
           'CompressionOptimWrapperConstructor', 'CostTarget', 'Criterion', 'CriterionPruning',
           'GraphMutator', 'NothingTrainedError', 'PruneSchedule', 'PruningAlgorithm',
           'PruningHook', 'SparsityTarget', 'TargetMissedError', 'extract']
