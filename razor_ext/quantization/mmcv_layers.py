"""MMCV's own convolutions and linear layer."""
from __future__ import annotations

import torch.nn.functional as F
from mmcv.cnn.bricks import wrappers
from mmcv.cnn.bricks.conv2d_adaptive_padding import Conv2dAdaptivePadding
from torch import Tensor

from .layers import QuantConv, QuantLinear, register_quant_layer

# They differ from PyTorch's in empty inputs alone.
register_quant_layer(wrappers.Conv2d, wrappers.Conv3d)(QuantConv)
register_quant_layer(wrappers.Linear)(QuantLinear)


@register_quant_layer(Conv2dAdaptivePadding)
class QuantAdaptiveConv(QuantConv):
    """Convolution that pads as TensorFlow's 'SAME' does, of EfficientNet: by the input's size."""

    stride: tuple[int, ...]
    kernel_size: tuple[int, ...]
    dilation: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        padding: list[int] = []
        for size, kernel, stride, dilation in zip(
                x.shape[-2:], self.kernel_size, self.stride, self.dilation):
            missing = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
            padding = [missing // 2, missing - missing // 2, *padding]
        return super().forward(F.pad(x, padding) if any(padding) else x)
