"""Small models for the quantization tests."""
from __future__ import annotations

import torch
from mmcv.cnn.bricks import wrappers
from mmcv.cnn.bricks.conv2d_adaptive_padding import Conv2dAdaptivePadding
from torch import nn

from razor_ext.quantization import QUANT_LAYERS, QuantMatmul, register_quant_layer


class PartMatrices(nn.Module):
    """One raw matrix per part."""

    def __init__(self, parts: int = 3, inputs: int = 8, outputs: int = 6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(parts, inputs, outputs))

    def forward(self, x):
        return torch.matmul(x, self.weight)


class GatedUnit(nn.Module):
    """Two raw matmuls between activations, around two linear layers."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.uv = nn.Linear(width, 2 * width, bias=False)
        self.o = nn.Linear(width, width, bias=False)
        self.gamma = nn.Parameter(torch.randn(2, width))

    def forward(self, x):
        u, v = self.uv(x).chunk(2, dim=-1)
        q, k = u * self.gamma[0], u * self.gamma[1]
        kernel = torch.bmm(q, k.transpose(1, 2)).square()
        return self.o(torch.bmm(kernel, v))


if PartMatrices not in QUANT_LAYERS:
    @register_quant_layer(PartMatrices)
    class QuantPartMatrices(QuantMatmul):
        weight_channel_dim = 2

    @register_quant_layer(GatedUnit)
    class QuantGatedUnit(QuantMatmul):
        weight_name = None
        operands = ('query', 'key', 'kernel', 'value')


class SmallNet(nn.Module):
    """Convolutions, a gated unit and part matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, padding_mode='reflect')
        self.bn = nn.BatchNorm2d(8)
        self.conv10 = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.gau = GatedUnit()
        self.parts = PartMatrices()

    def forward(self, x):
        x = nn.functional.silu(self.bn(self.conv1(x)), inplace=True)
        x = self.up(self.conv10(x).relu_())
        x = self.gau(x.flatten(2).transpose(1, 2)[:, :6])
        return self.parts(x.unflatten(1, (3, 2)))


def layer_cases():
    """(layer, input) for every registered type of torch and MMCV."""
    x = torch.randn(2, 6, 7)
    return {
        'linear': (nn.Linear(7, 5), x),
        'conv1d': (nn.Conv1d(6, 4, 3, padding='same'), x),
        'conv2d': (nn.Conv2d(4, 6, 3, 2, 1, groups=2, padding_mode='circular'),
                   torch.randn(2, 4, 9, 8)),
        'conv3d': (nn.Conv3d(3, 4, 3, dilation=2, bias=False), torch.randn(2, 3, 6, 7, 8)),
        'transpose1d': (nn.ConvTranspose1d(6, 4, 3, 2, 1, 1), x),
        'transpose2d': (nn.ConvTranspose2d(4, 6, 3, 2, groups=2), torch.randn(2, 4, 5, 6)),
        'transpose3d': (nn.ConvTranspose3d(2, 3, 2), torch.randn(1, 2, 3, 4, 5)),
        'mmcv linear': (wrappers.Linear(7, 5), x),
        'mmcv conv2d': (wrappers.Conv2d(4, 6, 3), torch.randn(2, 4, 9, 8)),
        'mmcv padded as needed': (
            Conv2dAdaptivePadding(4, 6, (3, 5), stride=(2, 3)), torch.randn(2, 4, 9, 8)),
        'mmcv conv3d': (wrappers.Conv3d(3, 4, 3), torch.randn(2, 3, 6, 7, 8)),
        'parts': (PartMatrices(), torch.randn(3, 4, 8)),
    }
