"""Silhouette backbones: GaitBase's ResNet-9, the plain CNN of GaitSet, GaitGL's 3-D network."""
from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from razor_ext.registry import MODELS

from .layers import FocalConv2d, GlobalLocalConv3d, fold_frames, unfold_frames


class FrameBackbone(BaseModule):
    """Applies a 2-D network to every frame by folding time into the batch."""

    frame_independent = True
    min_frames = 1

    def forward_frames(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map frames ``[m, c, h, w]`` to one or several maps ``[m, o, h', w']``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map ``[n, c, s, h, w]`` to one or several maps ``[n, o, s, h', w']``."""
        n, s = x.shape[0], x.shape[2]
        maps = self.forward_frames(fold_frames(x))
        if isinstance(maps, tuple):
            return tuple(unfold_frames(m, n, s) for m in maps)
        return unfold_frames(maps, n, s)


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions (He et al., CVPR 2016)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False),
                nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[m, c, h, w]`` to ``[m, channels, h / stride, w / stride]``."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + identity)


@MODELS.register_module()
class GaitResNet(FrameBackbone):
    """ResNet without the stem's pooling, as GaitBase uses it (Fan et al., CVPR 2023).

    Args:
        in_channels (int): Channels of a frame.
        channels (Sequence[int]): Channels of the four stages; the stem has those of the first.
        strides (Sequence[int]): Stride of each stage's first block.
        blocks (Sequence[int]): Blocks per stage; (1, 1, 1, 1) is ResNet-9. A stage of 0 blocks is
            left out, its width and stride with it.
        stem_stride (int): Stride of the stem; 2 quarters the cost.
        max_pool (bool): Halve the stem's output by max-pooling, 3x3.
        init_cfg (dict, optional): MMEngine weight initialisation.
    """

    def __init__(self, in_channels: int = 1, channels: Sequence[int] = (64, 128, 256, 512),
                 strides: Sequence[int] = (1, 2, 2, 1), blocks: Sequence[int] = (1, 1, 1, 1),
                 stem_stride: int = 1, max_pool: bool = False,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if not len(channels) == len(strides) == len(blocks):
            raise ValueError('GaitResNet needs channels, strides and blocks of one length, got '
                             f'{tuple(channels)}, {tuple(strides)} and {tuple(blocks)}')
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, channels[0], 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, 1) if max_pool else None
        self.num_stages = len(channels)
        width = channels[0]
        for i, (out, stride, depth) in enumerate(zip(channels, strides, blocks), 1):
            layer = []
            for j in range(depth):
                layer.append(BasicBlock(width, out, 1 if j else stride))
                width = out
            self.add_module(f'layer{i}', nn.Sequential(*layer))
        self.out_channels = width

    def forward_frames(self, x: Tensor) -> Tensor:
        """Map frames ``[m, c, h, w]`` to features, 16x11 for 64x44 input."""
        x = self.relu(self.bn1(self.conv1(x)))
        if self.pool is not None:
            x = self.pool(x)
        for i in range(1, self.num_stages + 1):
            x = getattr(self, f'layer{i}')(x)
        return x


@MODELS.register_module()
class GaitPlainCNN(FrameBackbone):
    """Plain convolutions in stages with max-poolings between them (GaitSet, GaitPart, GLN).

    Args:
        in_channels (int): Channels of a frame.
        channels (Sequence[int | Sequence[int]]): Channels of every convolution of a stage, of any
            number; a number stands for two of it. The first is 5x5, the others are 3x3.
        strips (Sequence[int], optional): Strips of the convolutions of each stage, by default one.
            With more they are GaitPart's focal convolutions.
        out_indices (Sequence[int], optional): Stages whose maps are returned, before the pooling;
            by default the last alone.
        stem_stride (int): Stride of the first convolution; 2 quarters the cost.
        init_cfg (dict, optional): MMEngine weight initialisation.
    """

    def __init__(self, in_channels: int = 1,
                 channels: Sequence[int | Sequence[int]] = (64, 128, 256),
                 strips: Sequence[int] | None = None, out_indices: Sequence[int] | None = None,
                 stem_stride: int = 1, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        strips = strips or [1] * len(channels)
        if len(strips) != len(channels) or strips[0] != 1:
            raise ValueError(f'strips {tuple(strips)} must have one entry for each of the '
                             f'{len(channels)} stages of channels, the first of them 1')
        layers: list[nn.Module] = []
        ends: list[int] = []
        width = in_channels
        for i, (stage, cuts) in enumerate(zip(channels, strips)):
            if i:
                layers.append(nn.MaxPool2d(2))
            for out in (stage, stage) if isinstance(stage, int) else stage:
                conv = (self._conv(width, out, cuts) if layers else
                        nn.Conv2d(width, out, 5, stem_stride, 2, bias=False))
                layers += [conv, nn.LeakyReLU(inplace=True)]
                width = out
            ends.append(len(layers))
        self.feature = nn.Sequential(*layers)
        self.out_channels = width
        self.out_indices = None if out_indices is None else tuple(out_indices)
        taken = self.out_indices or (len(ends) - 1, )
        if list(taken) != sorted({i for i in taken if 0 <= i < len(ends)}):
            raise ValueError(f'out_indices {taken} must be rising numbers of the '
                             f'{len(ends)} stages')
        self._ends = [ends[i] for i in taken]

    @staticmethod
    def _conv(width: int, out: int, strips: int) -> nn.Module:
        if strips == 1:
            return nn.Conv2d(width, out, 3, padding=1, bias=False)
        return FocalConv2d(width, out, strips)

    def forward_frames(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map frames ``[m, c, h, w]`` to features, 16x11 after three stages of 64x44 input."""
        maps, begin = [], 0
        for end in self._ends:
            x = self.feature[begin:end](x)
            maps.append(x)
            begin = end
        return x if self.out_indices is None else tuple(maps)


@MODELS.register_module()
class GaitGLBackbone(BaseModule):
    """GaitGL's 3-D network (Lin et al., ICCV 2021).

    A stem, the local temporal aggregation (kernel and stride 3 in time), then stages of global and
    local convolutions; height and width are halved after the first stage, and the last convolution
    stacks its two branches along height.

    Args:
        in_channels (int): Channels of a frame.
        stem (Sequence[int]): Channels of the stem's convolutions.
        stages (Sequence[Sequence[int]]): Channels of the convolutions of each stage.
        num_strips (int): Strips of the local convolutions; must divide half the input height.
        init_cfg (dict, optional): MMEngine weight initialisation.
    """

    frame_independent = False
    min_frames = 3
    temporal_stride = 3

    def __init__(self, in_channels: int = 1, stem: Sequence[int] = (32,),
                 stages: Sequence[Sequence[int]] = ((64,), (128,), (128,)),
                 num_strips: int = 8, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        layers: list[nn.Module] = []
        width = in_channels
        for out in stem:
            layers += [nn.Conv3d(width, out, 3, padding=1, bias=False), nn.LeakyReLU(inplace=True)]
            width = out
        self.stem = nn.Sequential(*layers)
        stride = (self.temporal_stride, 1, 1)
        self.lta = nn.Sequential(nn.Conv3d(width, width, stride, stride, bias=False),
                                 nn.LeakyReLU(inplace=True))
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.num_stages = len(stages)
        for i, stage in enumerate(stages):
            convs = []
            for j, out in enumerate(stage):
                last = i == len(stages) - 1 and j == len(stage) - 1
                convs.append(GlobalLocalConv3d(width, out, num_strips, 'cat' if last else 'sum'))
                width = out
            self.add_module(f'stage{i}', nn.Sequential(*convs))
        self.out_channels = width

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, s, h, w]`` (s of at least 3) to ``[n, o, s // 3, h, w / 2]``."""
        x = self.pool(self.stage0(self.lta(self.stem(x))))
        for i in range(1, self.num_stages):
            x = getattr(self, f'stage{i}')(x)
        return x
