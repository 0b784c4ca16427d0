"""DeepGaitV2's residual networks in two dimensions, three, and two plus one."""
from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from razor_ext.registry import MODELS

from .backbones import BasicBlock
from .layers import fold_frames, unfold_frames


class FrameBlocks(nn.Sequential):
    """Blocks that are applied to every frame."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, s, h, w]`` to ``[n, o, s, h', w']``."""
        n, s = x.shape[0], x.shape[2]
        return unfold_frames(super().forward(fold_frames(x)), n, s)


def clip_shortcut(in_channels: int, channels: int, stride: int) -> nn.Module | None:
    """Build the 1x1x1 convolution beside a block that changes the shape; None if it does not."""
    if stride == 1 and in_channels == channels:
        return None
    return nn.Sequential(
        nn.Conv3d(in_channels, channels, 1, (1, stride, stride), bias=False),
        nn.BatchNorm3d(channels))


class BasicBlock3d(nn.Module):
    """Residual block of two 3x3x3 convolutions that keeps the number of frames."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, channels, 3, (1, stride, stride), 1, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = clip_shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, s, h, w]`` to ``[n, channels, s, h / stride, w / stride]``."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + identity)


class BasicBlockP3d(nn.Module):
    """Residual block of two 3x3 convolutions of frames, a residual one of three frames between.

    Pseudo-3D (Qiu et al., ICCV 2017) as DeepGaitV2 uses it.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.temporal_conv = nn.Conv3d(channels, channels, (3, 1, 1), 1, (1, 0, 0), bias=False)
        self.temporal_bn = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = clip_shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, s, h, w]`` to ``[n, channels, s, h / stride, w / stride]``."""
        n, s = x.shape[0], x.shape[2]
        identity = x if self.downsample is None else self.downsample(x)
        out = unfold_frames(self.relu(self.bn1(self.conv1(fold_frames(x)))), n, s)
        out = self.relu(self.temporal_bn(self.temporal_conv(out)) + out)
        out = unfold_frames(self.bn2(self.conv2(fold_frames(out))), n, s)
        return self.relu(out + identity)


#: Blocks of the second to the fourth stage by mode; the first stage is always of frames.
BLOCKS: dict[str, type[nn.Module]] = {'2d': BasicBlock, 'p3d': BasicBlockP3d, '3d': BasicBlock3d}


def frame_stem(in_channels: int, channels: int, stride: int = 1) -> FrameBlocks:
    """Build the 3x3 convolution of frames that a network begins with."""
    return FrameBlocks(nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False),
                       nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def residual_stage(block: type[nn.Module], in_channels: int, channels: int, stride: int,
                   depth: int) -> nn.Sequential:
    """Build a stage of residual blocks, of which the first changes channels and size."""
    layers = [block(channels if j else in_channels, channels, 1 if j else stride)
              for j in range(depth)]
    return (FrameBlocks if block is BasicBlock else nn.Sequential)(*layers)


@MODELS.register_module()
class DeepGaitV2Backbone(BaseModule):
    """DeepGaitV2 (Fan et al., *Exploring Deep Models for Practical Gait Recognition*, 2023).

    Args:
        mode (str): ``'2d'``, ``'3d'`` or ``'p3d'``.
        in_channels (int): Channels of a frame.
        channels (Sequence[int]): Channels of the four stages; the stem has those of the first.
        blocks (Sequence[int]): Blocks per stage; (1, 1, 1, 1) on CASIA-B and OU-MVLP, (1, 4, 4, 1)
            on Gait3D and GREW.
        strides (Sequence[int]): Stride in height and width of each stage's first block.
        stem_stride (int): Stride of the stem; 2 quarters the cost.
        init_cfg (dict, optional): MMEngine weight initialisation.

    Attributes:
        frame_independent (bool): Whether frames do not see each other.
    """

    min_frames = 1

    def __init__(self, mode: str = 'p3d', in_channels: int = 1,
                 channels: Sequence[int] = (64, 128, 256, 512),
                 blocks: Sequence[int] = (1, 1, 1, 1), strides: Sequence[int] = (1, 2, 2, 1),
                 stem_stride: int = 1, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if mode not in BLOCKS:
            raise ValueError(f'mode must be one of {list(BLOCKS)}, not {mode!r}')
        if not len(channels) == len(strides) == len(blocks):
            raise ValueError('DeepGaitV2Backbone needs channels, strides and blocks of one length, '
                             f'got {tuple(channels)}, {tuple(strides)} and {tuple(blocks)}')
        self.mode = mode
        self.frame_independent = mode == '2d'
        width = channels[0]
        self.in_channels = in_channels
        self.stem = frame_stem(in_channels, width, stem_stride)
        self.num_stages = len(channels)
        for i, (out, stride, depth) in enumerate(zip(channels, strides, blocks), 1):
            block = BasicBlock if i == 1 else BLOCKS[mode]
            self.add_module(f'layer{i}', residual_stage(block, width, out, stride, depth))
            width = out
        self.out_channels = width

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, s, h, w]`` to ``[n, o, s, h', w']``, 16x11 for 64x44 input."""
        x = self.stem(x)
        for i in range(1, self.num_stages + 1):
            x = getattr(self, f'layer{i}')(x)
        return x
