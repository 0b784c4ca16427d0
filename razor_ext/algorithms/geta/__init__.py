"""GETA: joint structured pruning and mixed-precision quantization."""
from .forgetting import ForgetRule
from .groups import GroupIndex
from .hesso import HESSO
from .projection import BitBank, BitHandle
from .qasso import QASSO
from .saliency import Saliency
from .stages import BitRange, StagePlan, Stages
from .targets import CostTarget, SparsityTarget

__all__ = [
           'HESSO',
           'QASSO',
           'BitBank',
           'BitHandle',
           'BitRange',
           'CostTarget',
           'ForgetRule',
           'GroupIndex',
           'Saliency',
           'SparsityTarget',
           'StagePlan',
           'Stages',
]
