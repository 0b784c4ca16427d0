"""MMCV's own convolution and linear layer, which differ from PyTorch's in empty inputs alone."""
from __future__ import annotations

from mmcv.cnn.bricks import wrappers

from .layers import QuantConv, QuantLinear, register_quant_layer

register_quant_layer(wrappers.Conv2d, wrappers.Conv3d)(QuantConv)
register_quant_layer(wrappers.Linear)(QuantLinear)
