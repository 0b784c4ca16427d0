"""GETA: joint structured pruning and mixed-precision quantization."""
from . import constructor
from .algorithm import GETA
from .forgetting import ForgetRule
from .groups import GroupIndex
from .hesso import HESSO
from .hooks import GETACalibrationHook, GETAHook
from .mutator import GETAMutator
from .projection import BitBank, BitHandle
from .qasso import QASSO
from .saliency import Saliency
from .stages import BitRange, StagePlan, Stages
from .targets import CostTarget, SparsityTarget

__all__ = [
    'GETA', 'HESSO', 'QASSO', 'BitBank', 'BitHandle', 'BitRange', 'CostTarget', 'ForgetRule',
    'GETACalibrationHook', 'GETAHook', 'GETAMutator', 'GroupIndex',
    'Saliency', 'SparsityTarget', 'StagePlan', 'Stages', 'constructor',
]
