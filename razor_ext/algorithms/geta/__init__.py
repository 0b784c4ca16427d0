"""GETA: joint structured pruning and mixed-precision quantization."""
from razor_ext.pruning import ChannelIndex, CostTarget, SparsityTarget

from . import constructor
from .algorithm import GETA
from .forgetting import ForgetRule
from .hesso import HESSO
from .hooks import GETACalibrationHook
from .projection import BitBank, BitHandle
from .qasso import QASSO
from .saliency import Saliency
from .stages import BitRange, StagePlan, Stages

__all__ = [
    'GETA', 'HESSO', 'QASSO', 'BitBank', 'BitHandle', 'BitRange', 'ChannelIndex', 'CostTarget',
    'ForgetRule', 'GETACalibrationHook', 'Saliency', 'SparsityTarget', 'StagePlan', 'Stages',
    'constructor',
]
