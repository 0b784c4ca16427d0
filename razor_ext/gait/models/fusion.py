"""Networks of two inputs beside each other: SkeletonGait++ and MultiGait++."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from razor_ext.registry import MODELS

from .backbones import BasicBlock
from .deepgait import BasicBlockP3d, FrameBlocks, frame_stem, residual_stage


def score_branch(in_channels: int, hidden: int, channels: int, kernel: int) -> FrameBlocks:
    """Build three convolutions of frames that score channels; the one in the middle may be 3x3."""
    return FrameBlocks(
        nn.Conv2d(in_channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(hidden), nn.ReLU(inplace=True),
        nn.Conv2d(hidden, channels, 1, bias=False))


class AttentionFusion(nn.Module):
    """Weighted sum of two maps, of weights that both decide (Fan et al., AAAI 2024).

    Args:
        channels (int): Channels of either map.
        squeeze (int): Factor between the channels and those inside that score them.
    """

    def __init__(self, channels: int, squeeze: int = 16) -> None:
        super().__init__()
        self.scores = score_branch(2 * channels, max(1, channels // squeeze), 2 * channels, 3)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fuse two ``[n, c, s, h, w]``; the softmax of two scores is a sigmoid of one."""
        one, two = self.scores(torch.cat([first, second], 1)).chunk(2, dim=1)
        return second + (first - second) * torch.sigmoid(one - two)


class CommonPartFusion(nn.Module):
    """What two maps have in common, and what only one of them has (Jin et al., AAAI 2025).

    Each map scores its channels, and a softmax over the two scores gives its share. The smaller
    share, stretched over the channels of a pixel to [0, 1], says how common a channel is.

    Args:
        channels (int): Channels of either map.
        squeeze (int): Factor between the channels and those inside that score them.
    """

    def __init__(self, channels: int, squeeze: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // squeeze)
        self.first_scores = score_branch(channels, hidden, channels, 1)
        self.second_scores = score_branch(channels, hidden, channels, 1)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is common to two ``[n, c, s, h, w]``, and what each has of its own."""
        lead = self.first_scores(first) - self.second_scores(second)
        # the smaller share, exact next to nothing, where ONNX Runtime's sigmoid has 1.5e-8 at least
        odds = torch.exp(-lead.abs())
        common = odds / (1 + odds)
        low, high = common.amin(1, keepdim=True), common.amax(1, keepdim=True)
        common = (common - low) / (high - low + 1e-6)
        own = 1 - common
        return ((first + second) / 2 * common, first * (own * torch.sigmoid(lead)),
                second * (own * torch.sigmoid(-lead)))


class TwoInputBackbone(BaseModule):
    """Common part of the two: a stem and a stage of frames for either input.

    Args:
        inputs (Sequence[int]): Channels of the first input and of the second, which follow each
            other in a frame.
        channels (Sequence[int]): Channels of the four stages; the stems have those of the first.
        blocks (Sequence[int]): Blocks per stage.
        strides (Sequence[int]): Stride in height and width of each stage's first block.
        stem_stride (int): Stride of the stems; 2 quarters the cost.
        init_cfg (dict, optional): MMEngine weight initialisation.
    """

    frame_independent = False
    min_frames = 1

    def __init__(self, inputs: Sequence[int], channels: Sequence[int] = (64, 128, 256, 512),
                 blocks: Sequence[int] = (1, 1, 1, 1), strides: Sequence[int] = (1, 2, 2, 1),
                 stem_stride: int = 1, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if len(inputs) != 2 or not len(channels) == len(blocks) == len(strides) == 4:
            raise ValueError(f'{type(self).__name__} has two inputs and four stages: got inputs='
                             f'{tuple(inputs)}, channels={tuple(channels)}, blocks={tuple(blocks)} '
                             f'and strides={tuple(strides)}')
        self.inputs = tuple(inputs)
        self.in_channels = sum(inputs)
        self.out_channels = channels[3]
        width = channels[0]
        for name, size in zip(('first', 'second'), inputs):
            self.add_module(f'{name}_stem', frame_stem(size, width, stem_stride))
            self.add_module(f'{name}_layer1',
                            residual_stage(BasicBlock, width, width, strides[0], blocks[0]))

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[n, c, s, h, w]`` to the first stage's maps of either input."""
        size = self.inputs[0]
        return (self.first_layer1(self.first_stem(x[:, :size])),
                self.second_layer1(self.second_stem(x[:, size:])))


@MODELS.register_module()
class SkeletonGaitPPBackbone(TwoInputBackbone):
    """SkeletonGait++ (Fan et al., *SkeletonGait*, AAAI 2024): DeepGaitV2 p3d of maps of joints and
    of silhouettes, fused after the first stage.

    Args:
        inputs (Sequence[int]): Channels of the maps of joints and of the silhouettes.
        channels (Sequence[int]): See :class:`TwoInputBackbone`.
        blocks (Sequence[int]): See :class:`TwoInputBackbone`.
        strides (Sequence[int]): See :class:`TwoInputBackbone`.
        stem_stride (int): See :class:`TwoInputBackbone`.
        squeeze (int): Factor between the channels of the first stage and those that score them.
        init_cfg (dict, optional): MMEngine weight initialisation.
    """

    def __init__(self, inputs: Sequence[int] = (2, 1),
                 channels: Sequence[int] = (64, 128, 256, 512),
                 blocks: Sequence[int] = (1, 1, 1, 1), strides: Sequence[int] = (1, 2, 2, 1),
                 stem_stride: int = 1, squeeze: int = 16, init_cfg: dict | None = None) -> None:
        super().__init__(inputs, channels, blocks, strides, stem_stride, init_cfg)
        self.fusion = AttentionFusion(channels[0], squeeze)
        for i in (1, 2, 3):
            self.add_module(f'layer{i + 1}', residual_stage(
                BasicBlockP3d, channels[i - 1], channels[i], strides[i], blocks[i]))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, s, h, w]`` to ``[n, o, s, h', w']``, 16x11 for 64x44 input."""
        maps, silhouettes = self.branches(x)
        return self.layer4(self.layer3(self.layer2(self.fusion(silhouettes, maps))))


@MODELS.register_module()
class MultiGaitPPBackbone(TwoInputBackbone):
    """MultiGait++ (Jin et al., *Exploring More from Multiple Gait Modalities*, AAAI 2025): two
    DeepGaitV2 p3d and a third of what they have in common, joined before the last stage.

    Args:
        inputs (Sequence[int]): Channels of the first part and of the second, such as silhouettes
            and flow.
        channels (Sequence[int]): See :class:`TwoInputBackbone`.
        blocks (Sequence[int]): See :class:`TwoInputBackbone`.
        strides (Sequence[int]): See :class:`TwoInputBackbone`.
        stem_stride (int): See :class:`TwoInputBackbone`.
        squeeze (int): Factor between the channels of the first stage and those that score them.
        init_cfg (dict, optional): MMEngine weight initialisation.
    """

    def __init__(self, inputs: Sequence[int] = (1, 3),
                 channels: Sequence[int] = (64, 128, 256, 512),
                 blocks: Sequence[int] = (1, 1, 1, 1), strides: Sequence[int] = (1, 2, 2, 1),
                 stem_stride: int = 1, squeeze: int = 16, init_cfg: dict | None = None) -> None:
        super().__init__(inputs, channels, blocks, strides, stem_stride, init_cfg)
        self.common = CommonPartFusion(channels[0], squeeze)
        for i in (1, 2):
            for prefix in ('first_', 'second_', ''):
                self.add_module(f'{prefix}layer{i + 1}', residual_stage(
                    BasicBlockP3d, channels[i - 1], channels[i], strides[i], blocks[i]))
        self.fusion = FrameBlocks(nn.Conv2d(3 * channels[2], channels[2], 1, bias=False))
        self.layer4 = residual_stage(BasicBlockP3d, channels[2], channels[3], strides[3],
                                     blocks[3])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, s, h, w]`` to ``[n, o, s, h', w']``, 16x11 for 64x44 input."""
        common, first, second = self.common(*self.branches(x))
        first = self.first_layer3(self.first_layer2(first))
        second = self.second_layer3(self.second_layer2(second))
        common = self.layer3(self.layer2(common))
        return self.layer4(self.fusion(torch.cat([first, common, second], 1)))
