"""Rules, one construct at a time: which channels stay prunable, and what freezes the others."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from razor_ext.graph import NothingToPruneError, analyze
from razor_ext.graph.rules import RULES, rule


class Between(nn.Module):
    """conv -> f -> conv; the question is what `f` does to the 8 channels between them."""

    def __init__(self, f, back: int = 8, rank: int = 2, **modules) -> None:
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[rank]
        self.a = conv(3, 8, 3, padding=1)
        self.b = conv(back, 3, 1)
        self.f = f
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.b(self.f(self, self.a(x)))


def units(model: nn.Module, rank: int = 2) -> dict[str, int]:
    graph = analyze(model, torch.randn(2, 3, *[6] * rank))
    assert graph.prove(0.5) < 1e-9
    return {unit.name: unit.num_channels for unit in graph.units}


def frozen_operators(model: nn.Module) -> set[str]:
    try:
        graph = analyze(model, torch.randn(2, 3, 6, 6))
        assert 'a_(0, 8)_8' not in {unit.name for unit in graph.units}
    except NothingToPruneError as error:
        return {line.split(':')[0].strip() for line in str(error).splitlines()[1:]}
    return {entry.operator for entry in graph.frozen}


EIGHT = {
    'silu': lambda s, x: F.silu(x), 'sigmoid': lambda s, x: x.sigmoid(),
    'exp': lambda s, x: x.exp(), 'add scalar': lambda s, x: x + 1, 'square': lambda s, x: x**2,
    'clamp': lambda s, x: x.clamp(0.1, 2), 'where': lambda s, x: torch.where(x > 0, x, -x),
    'masked_fill': lambda s, x: x.masked_fill(x > 1, 0), 'lerp': lambda s, x: x.lerp(x * 2, 0.3),
    'log of softplus': lambda s, x: F.softplus(x).log(),
    'max pool': lambda s, x: F.max_pool2d(x, 3, 1, 1), 'interpolate': lambda s, x: F.interpolate(
        x, size=(6, 6), mode='bilinear', align_corners=False),
    'adaptive pool': lambda s, x: F.adaptive_avg_pool2d(x, 3), 'mean': lambda s, x: x.mean(
        3, keepdim=True), 'sum of channels': lambda s, x: x * (x.sum(1, keepdim=True) / 8),
    'norm of channels': lambda s, x: F.normalize(x, dim=1),
    'permute': lambda s, x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    'flatten': lambda s, x: x.flatten(2).unflatten(2, (6, 6)),
    'split of space': lambda s, x: torch.cat(x.split(2, 2), 2), 'flip': lambda s, x: x.flip(3),
    'roll of space': lambda s, x: x.roll(1, 2), 'pad of space': lambda s, x: F.pad(x, (1, 1)),
    'select of space': lambda s, x: x[:, :, 2:3], 'unbind of space': lambda s, x: torch.stack(
        x.unbind(3), 3), 'softmax of space': lambda s, x: x.softmax(3),
    'cumsum of space': lambda s, x: x.cumsum(2),
    'fold of unfold': lambda s, x: F.fold(F.unfold(x, 3, padding=1), (6, 6), 3, padding=1),
    'index of space': lambda s, x: x[:, :, [0, 2, 1]],
    'zeros': lambda s, x: x + torch.zeros_like(x),
    'expand': lambda s, x: x + torch.ones(1, device=x.device).expand_as(x),
    'in-place': lambda s, x: x.relu_().mul_(2),
    'gram matrix': lambda s, x: (x.flatten(2) @ x.flatten(2).mT @ x.flatten(2)).view_as(x)}


@pytest.mark.parametrize('name', EIGHT)
def test_channels_pass(name):
    assert units(Between(EIGHT[name])) == {'a_(0, 8)_8': 8}


WITH_LAYER = {
    'batch norm': nn.BatchNorm2d(8), 'plain batch norm': nn.BatchNorm2d(8, affine=False),
    'instance norm': nn.InstanceNorm2d(8, affine=True), 'channel group norm': nn.GroupNorm(8, 8),
    'prelu': nn.PReLU(8), 'depthwise': nn.Conv2d(8, 8, 3, padding=1, groups=8)}


@pytest.mark.parametrize('name', WITH_LAYER)
def test_channels_pass_through_a_layer(name):
    layer = WITH_LAYER[name]
    assert units(Between(lambda s, x: s.layer(x), layer=layer)) == {'a_(0, 8)_8': 8}


@pytest.mark.parametrize('name, layer, back, expected', [
    ('group norm removes whole groups', nn.GroupNorm(4, 8), 8, {'a_(0, 8)_4': 4}),
    ('depthwise with a multiplier', nn.Conv2d(8, 16, 1, groups=8), 16, {'a_(0, 8)_8': 8}),
    ('many groups: whole groups', nn.Conv2d(8, 8, 1, groups=4), 8, {'a_(0, 8)_4': 4}),
    ('few groups: the same positions in each', nn.Conv2d(8, 12, 1, groups=2), 12,
     {'a_(0, 8)_4': 4, 'layer_(0, 12)_6': 6}),
    ('grouped transposed', nn.ConvTranspose2d(8, 12, 1, groups=4), 12, {'a_(0, 8)_4': 4}),
    ('transposed', nn.ConvTranspose2d(8, 12, 1), 12, {'a_(0, 8)_8': 8, 'layer_(0, 12)_12': 12}),
    ('pixel shuffle', nn.PixelShuffle(2), 2, {'a_(0, 8)_2': 2}),
    ('pixel unshuffle', nn.PixelUnshuffle(2), 32, {'a_(0, 8)_8': 8}),
    ('glu', nn.GLU(1), 4, {'a_(0, 8)_4': 4})])
def test_layers_that_tie_channels(name, layer, back, expected):
    assert units(Between(lambda s, x: s.layer(x), back, layer=layer)) == expected


@pytest.mark.parametrize('rank', [1, 3])
def test_other_ranks(rank):
    norm = {1: nn.BatchNorm1d, 3: nn.BatchNorm3d}[rank](8)
    assert units(Between(lambda s, x: s.norm(x), rank=rank, norm=norm), rank) == {'a_(0, 8)_8': 8}


FREEZING = {
    'softmax': (lambda s, x: x.softmax(1), '_softmax'),
    'max over channels': (lambda s, x: x * x.amax(1, keepdim=True), 'amax'),
    'mean over channels': (lambda s, x: x * x.mean(1, keepdim=True), 'mean'),
    'cumsum': (lambda s, x: x.cumsum(1), 'cumsum'), 'roll': (lambda s, x: x.roll(1, 1), 'roll'),
    'index': (lambda s, x: x[:, [0, 1, 2, 3, 4, 5, 6, 7]], 'index'),
    'strided slice': (lambda s, x: x[:, ::2].repeat(1, 2, 1, 1), 'slice'),
    'log of 0': (lambda s, x: x.relu().log1p().sqrt().log(), 'log'),
    '0/0': (lambda s, x: x / x.norm(dim=(2, 3), keepdim=True), 'div'),
    'no rule': (lambda s, x: torch.fft.fft(x, dim=1).real, '_fft_r2c'),
    'position dependent constant': (
        lambda s, x: x * torch.arange(8, device=x.device)[:, None, None], 'mul'),
    'layer norm': (lambda s, x: F.layer_norm(x.mT.mT.permute(0, 2, 3, 1), (8, )).permute(
        0, 3, 1, 2), 'native_layer_norm'),
    'write to part of a view': (lambda s, x: _write(x), 'mul')}


def _write(x):
    x = x.clone()
    x[:, 2:4] = torch.sigmoid(x[:, 2:4]) * torch.arange(2, device=x.device)[:, None, None]
    return x


@pytest.mark.parametrize('name', FREEZING)
def test_channels_freeze_and_the_operator_is_named(name):
    f, operator = FREEZING[name]
    assert operator in frozen_operators(Between(f))


def test_a_frozen_half_of_a_concatenation_leaves_the_other():
    model = Between(lambda s, x: torch.cat([x, x.softmax(1), s.c(x)], 1), back=28,
                    c=nn.Conv2d(8, 12, 1))
    assert units(model) == {'c_(0, 12)_12': 12}


def test_an_operator_without_rule_is_reported_with_its_source_line():
    class Net(nn.Module):

        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)

        def forward(self, x):
            return self.c(self.b(x)), torch.special.bessel_j0(self.a(x))

    graph = analyze(Net(), torch.randn(1, 3, 4, 4))
    entry = next(entry for entry in graph.frozen if entry.parameter == 'a.weight')
    assert entry.operator == 'special_bessel_j0'
    assert 'no rule' in entry.reason
    assert 'test_graph_rules.py:' in entry.source
    assert entry.reason in graph.summary()


def test_a_rule_cannot_be_registered_twice():
    with pytest.raises(KeyError, match='relu has a rule already'):
        rule('relu')(RULES['relu'])
