from razor_ext.registry import keep_root_names

from .backbones import GaitGLBackbone, GaitPlainCNN, GaitResNet
from .data_preprocessor import GaitDataPreprocessor
from .deepgait import DeepGaitV2Backbone
from .fusion import AttentionFusion, CommonPartFusion, MultiGaitPPBackbone, SkeletonGaitPPBackbone
from .gaitpart import MicroMotionPooling
from .heads import GLNHead, PartBNHead, PartBNNeckHead, PartHead
from .layers import (
    FocalConv2d,
    GeMPooling,
    GlobalLocalConv3d,
    HorizontalPyramidPooling,
    PartLinear,
)
from .losses import PartCrossEntropyLoss, PartTripletLoss
from .necks import GaitSetNeck, GLNNeck
from .recognizer import GaitRecognizer

__all__ = [
    'AttentionFusion', 'CommonPartFusion', 'DeepGaitV2Backbone', 'FocalConv2d', 'GLNHead',
    'GLNNeck', 'GaitDataPreprocessor', 'GaitGLBackbone', 'GaitPlainCNN', 'GaitRecognizer',
    'GaitResNet', 'GaitSetNeck', 'GeMPooling', 'GlobalLocalConv3d', 'HorizontalPyramidPooling',
    'MicroMotionPooling', 'MultiGaitPPBackbone', 'PartBNHead', 'PartBNNeckHead',
    'PartCrossEntropyLoss', 'PartHead', 'PartLinear', 'PartTripletLoss', 'SkeletonGaitPPBackbone',
]

keep_root_names(__name__)
