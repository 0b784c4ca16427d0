"""Blocks that split their channels between branches, scales or stages."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from razor_ext.graph import analyze, slice_model

from .graph_nets import random_keep

pytest.importorskip('mmpose.models', exc_type=ImportError)
INPUT = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Around(nn.Module):
    """A stem, a block of 8 channels and a head."""

    def __init__(self, block: nn.Module, width: int = 8) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 8, 1), block, nn.Conv2d(width, 2, 1)

    def forward(self, x):
        return self.head(self.block(self.stem(x)))


def residual_steps() -> nn.Module:
    from mmpose.models.backbones.rsn import RSB
    return Around(RSB(8, 8, num_steps=3, expand_times=32))


def scales() -> nn.Module:
    from mmdet.models.backbones.res2net import Bottle2neck
    return Around(Bottle2neck(8, 2, scales=4, base_width=26, base_channels=13), 8)


class Positions(nn.Module):

    def __init__(self) -> None:
        super().__init__()
        from mmpose.models.backbones.pvt import AbsolutePositionEmbedding
        self.patch, self.table = nn.Conv2d(3, 8, 2, 2), AbsolutePositionEmbedding(3, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.table(self.patch(x).flatten(2).transpose(1, 2), (4, 4)))


class Stages(nn.Module):

    def __init__(self) -> None:
        super().__init__()
        from mmpose.models.heads import MSPNHead
        self.units = nn.ModuleList(nn.Conv2d(3, 8, 1) for _ in range(2))
        self.head = MSPNHead(1, 2, (8, 8), unit_channels=8, out_channels=2, level_indices=[0, 1],
                             loss=dict(type='mmpose.KeypointMSELoss'))  # whatever scope a test left

    def forward(self, x):
        return self.head([[unit(x) for unit in self.units]])


@pytest.mark.parametrize('make', [residual_steps, scales, Positions, Stages])
def test_the_parts_lose_different_channels_and_again(make) -> None:
    model = make().eval()
    graph = analyze(model, INPUT)
    assert graph.reachable_share > 0.98 and not graph.refused
    small = slice_model(model, graph, random_keep(graph.units, 0.3, 3, uneven=True))
    again = analyze(small, INPUT)
    assert again.units and again.prove(0.5) < 1e-12
