"""Frozen layers stay whole."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from razor_ext import compress
from razor_ext.graph import NothingToPruneError
from razor_ext.pruning.frozen_layers import frozen_weights


class Net(nn.Module):
    """A stem that may freeze itself when it is told to train, as backbones do."""

    def __init__(self, freezes: bool = False) -> None:
        super().__init__()
        self.freezes = freezes
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.body = nn.Conv2d(16, 16, 3, padding=1)
        self.last = nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(self.norm(self.stem(x)).relu()).relu()
        return self.head(self.last(x).relu().mean((2, 3)))

    def train(self, mode: bool = True) -> Net:
        super().train(mode)
        if self.freezes:
            self.stem.requires_grad_(False)
        return self


def run(net: Net, method: str, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    compression = compress(net, torch.randn(1, 3, 8, 8),
                           torch.optim.SGD(net.parameters(), lr=0.01), total_steps=20,
                           method=method, **settings)
    for _ in range(20):
        compression.optimizer.zero_grad()
        nn.functional.cross_entropy(compression.model(torch.randn(4, 3, 8, 8)),
                                    torch.randint(0, 4, (4,))).backward()
        compression.optimizer.step()
    return compression.finish().model


@pytest.mark.parametrize('method, settings', [
    ('GETA', dict(target=dict(kind='sparsity', ratio=.5),
                  stages=dict(warmup=0, projection=0, pruning=10, pruning_periods=2))),
    ('GETA', dict(target=dict(kind='macs', ratio=.7), stages=dict(
        warmup=0, projection=0, pruning=10, pruning_periods=2))),
    ('L1Pruning', dict(target=dict(kind='macs', ratio=.7))),
    ('GroupFisher', dict(target=dict(kind='macs', ratio=.7), schedule=dict(interval=2)))],
    ids=['GETA', 'GETA by cost', 'L1', 'GroupFisher'])
@pytest.mark.parametrize('by_itself', [False, True])
def test_a_frozen_layer_stays_as_it_is(method: str, settings: dict, by_itself: bool) -> None:
    net = Net(by_itself)
    if not by_itself:
        net.stem.requires_grad_(False)
    weight = net.stem.weight.detach().clone()
    small = run(net, method, **settings)
    assert torch.equal(small.stem.weight, weight)
    assert small.body.in_channels == 16
    assert small.body.out_channels < 16 or small.last.out_channels < 16


def test_norms_and_biases_that_do_not_train_hold_nothing() -> None:
    net = Net()
    net.norm.requires_grad_(False)
    net.stem.bias.requires_grad_(False)
    assert not frozen_weights(net)
    small = run(net, 'GETA', target=dict(kind='sparsity', ratio=.5),
                stages=dict(warmup=0, projection=0, pruning=10, pruning_periods=2))
    assert small.stem.out_channels < 16


def test_nothing_but_frozen_layers_is_said() -> None:
    net = Net().requires_grad_(False)
    with pytest.raises(NothingToPruneError, match=r'4 layers are frozen.*stem\.weight'):
        compress(net, torch.randn(1, 3, 8, 8), torch.optim.SGD(net.parameters(), lr=0.01),
                 total_steps=20, target=dict(kind='macs', ratio=.5))


def test_freezing_later_is_refused() -> None:
    net = Net()
    compression = compress(net, torch.randn(1, 3, 8, 8),
                           torch.optim.SGD(net.parameters(), lr=0.01), total_steps=100,
                           target=dict(kind='macs', ratio=.5))
    net.body.requires_grad_(False)
    with pytest.raises(ValueError, match=r'body\.weight would be pruned'):
        compression.algorithm.check_trains()
