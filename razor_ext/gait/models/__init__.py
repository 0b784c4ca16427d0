from razor_ext.registry import keep_root_names

from .backbones import GaitGLBackbone, GaitPlainCNN, GaitResNet
from .data_preprocessor import GaitDataPreprocessor
from .heads import PartBNHead, PartBNNeckHead
from .layers import (
    GeMPooling,
    GlobalLocalConv3d,
    HorizontalPyramidPooling,
    PartLinear,
)
from .losses import PartCrossEntropyLoss, PartTripletLoss
from .recognizer import GaitRecognizer

__all__ = [
    'GaitDataPreprocessor', 'GaitGLBackbone', 'GaitPlainCNN', 'GaitRecognizer', 'GaitResNet',
    'GeMPooling', 'GlobalLocalConv3d', 'HorizontalPyramidPooling', 'PartBNHead', 'PartBNNeckHead',
    'PartCrossEntropyLoss', 'PartLinear', 'PartTripletLoss',
]

keep_root_names(__name__)
