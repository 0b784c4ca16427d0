"""Streams that are split in halves and shuffled."""
from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from razor_ext.graph import analyze, slice_model, slice_units
from razor_ext.graph.stand_ins import conceal, expose, orders

from .graph_nets import random_keep

shufflenet = pytest.importorskip('mmpose.models.backbones.shufflenet_v2', exc_type=ImportError)
INPUT = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class ShuffleNet(nn.Module):

    def __init__(self) -> None:
        super().__init__()
        block = shufflenet.InvertedResidual
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(block(8, 16, stride=2), *(block(16, 16) for _ in range(3)))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


def test_the_stand_in_is_the_block() -> None:
    model = ShuffleNet().eval()
    expected, before = model(INPUT), list(model.state_dict())
    replaced = expose(model)
    assert len(replaced) == 4 and torch.equal(model(INPUT), expected)
    conceal(model, replaced, [])
    assert list(model.state_dict()) == before and torch.equal(model(INPUT), expected)
    assert all(type(block) is shufflenet.InvertedResidual for block in model.body)


def test_halves_lose_different_channels() -> None:
    model = ShuffleNet().eval()
    graph = analyze(model, INPUT)
    assert len(graph.units) == 15 and graph.prove(0.5) < 1e-12
    keep = random_keep(graph.units, 0.5, 3, uneven=True)
    small = slice_model(model, graph, keep)
    counts = {name: int(mask.sum()) for name, mask in keep.items()}
    assert sum(p.numel() for p in small.parameters()) == graph.params(counts)
    assert any(2 * block.split != len(block.channel_order) for block in small.body)
    assert 'channel_order' not in {entry.parameter for entry in graph.frozen}


def test_a_structure_of_counts_and_a_checkpoint_rebuild_the_model() -> None:
    model = ShuffleNet().eval()
    graph = analyze(model, INPUT)
    keep = random_keep(graph.units, 0.5, 3, uneven=True)
    small = slice_model(model, graph, keep)
    first = {name: torch.arange(len(mask)) < mask.sum() for name, mask in keep.items()}
    again = slice_units(ShuffleNet().eval(), graph.units, first)
    again.load_state_dict(copy.deepcopy(small.state_dict()))
    assert len(orders(small)) == 4 and torch.equal(again(INPUT), small(INPUT))


def test_what_is_sliced_is_analysed_and_sliced_again() -> None:
    model = ShuffleNet().eval()
    graph = analyze(model, INPUT)
    small = slice_model(model, graph, random_keep(graph.units, 0.4, 1))
    graph = analyze(small, INPUT)
    assert graph.units and graph.prove(0.5) < 1e-12
