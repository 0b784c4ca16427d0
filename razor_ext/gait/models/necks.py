"""What happens to the maps of a sequence between the pooling over frames and that over parts."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from razor_ext.registry import MODELS


def conv_pair(in_channels: int, channels: int) -> nn.Sequential:
    """Build two 3x3 convolutions with their activations."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.LeakyReLU(inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.LeakyReLU(inplace=True))


@MODELS.register_module()
class GaitSetNeck(BaseModule):
    """GaitSet's multilayer global pipeline (Chao et al., AAAI 2019).

    Takes the maps of three stages before their pooling: the maximum over frames and that over
    2x2 pixels can change places.

    Args:
        channels (Sequence[int]): Channels of the three stages.
        init_cfg (dict, optional): MMEngine weight initialisation.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 128),
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        first, second, third = channels
        self.stage1 = conv_pair(first, second)
        self.stage2 = conv_pair(second, third)
        self.pool = nn.MaxPool2d(2)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the last map and the global one, both ``[n, c, h / 4, w / 4]``."""
        first, second, third = maps
        x = self.pool(self.stage1(self.pool(first))) + self.pool(second)
        return third, self.stage2(x) + third


@MODELS.register_module()
class GLNNeck(BaseModule):
    """Set stages and lateral connections of the Gait Lateral Network (Hou et al., ECCV 2020).

    Args:
        channels (Sequence[int]): Channels of the three stages.
        lateral_channels (int): Channels of the maps returned.
        init_cfg (dict, optional): MMEngine weight initialisation.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 128), lateral_channels: int = 256,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        first, second, third = channels
        self.stage1 = conv_pair(first, second)
        self.stage2 = conv_pair(second, third)
        self.pool = nn.MaxPool2d(2)
        self.lateral = nn.ModuleList(
            nn.Conv2d(2 * width, lateral_channels, 1, bias=False) for width in channels)
        self.smooth = nn.ModuleList(
            nn.Conv2d(lateral_channels, lateral_channels, 3, padding=1, bias=False)
            for _ in channels)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return three maps ``[n, lateral_channels, h', w']``, the largest first."""
        first, second, third = maps
        second_set = self.stage1(self.pool(first)) + second
        third_set = self.stage2(self.pool(second_set)) + third
        pairs = (first, first), (second, second_set), (third, third_set)
        small, middle, large = (conv(torch.cat(pair, 1)) for conv, pair in zip(
            reversed(self.lateral), reversed(pairs)))
        middle = middle + F.interpolate(small, scale_factor=2., mode='nearest')
        large = large + F.interpolate(middle, scale_factor=2., mode='nearest')
        return tuple(conv(x) for conv, x in zip(self.smooth, (large, middle, small)))
