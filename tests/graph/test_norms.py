"""Mask-aware norms: plain where all channels count, the sliced norm where some do not."""
from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from razor_ext.graph import analyze, slice_model
from razor_ext.graph.norms import KEPT, mask_norms, plain_norms, shares

from .graph_nets import random_keep

RMS = getattr(nn, 'RMSNorm', None)
NORMS = {
    'layer': lambda: nn.LayerNorm(12), 'no bias': lambda: nn.LayerNorm(12, bias=False),
    'no affine': lambda: nn.LayerNorm(12, elementwise_affine=False),
    'two dimensions': lambda: nn.LayerNorm((5, 12))}
if RMS is not None:
    NORMS.update({'rms': lambda: RMS(12), 'rms no affine': lambda: RMS(
        12, eps=1e-3, elementwise_affine=False)})


class ChannelsFirst(nn.LayerNorm):
    """A layer norm over dimension 1, as several packages have it."""

    def forward(self, x):
        x = F.layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.movedim(-1, 1)


class Stream(nn.Module):
    """Residual blocks around norms."""

    def __init__(self, norm=nn.LayerNorm, width: int = 12) -> None:
        super().__init__()
        self.embed, self.position = nn.Linear(6, width), nn.Parameter(torch.randn(5, width))
        self.norms = nn.ModuleList(norm(width) for _ in range(3))
        self.up = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(2))
        self.down = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(2))
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        x = self.embed(x) + self.position
        for norm, up, down in zip(self.norms, self.up, self.down):
            x = x + down(F.gelu(up(norm(x))))
        return self.head(self.norms[-1](x).mean(1))


def randomized(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return module.double()


@pytest.mark.parametrize('name', NORMS)
def test_with_all_channels_it_is_the_plain_norm(name: str) -> None:
    norm = randomized(NORMS[name]())
    x = torch.randn(3, 5, 12, dtype=torch.float64)
    expected = norm(x)
    assert (mask_norms(norm)(x) - expected).abs().max() < 1e-13
    assert torch.equal(plain_norms(norm)(x), expected)


@pytest.mark.parametrize('name', NORMS)
def test_removed_channels_are_0_and_count_for_nothing(name: str) -> None:
    norm = randomized(NORMS[name]())
    x, keep = torch.randn(3, 5, 12, dtype=torch.float64), torch.arange(12) % 3 != 1
    small = copy.deepcopy(norm)
    small.normalized_shape = (*norm.normalized_shape[:-1], int(keep.sum()))
    with torch.no_grad():
        for key, parameter in norm.named_parameters():
            setattr(small, key, nn.Parameter(parameter[..., keep]))
            parameter[..., ~keep] = 0
    mask_norms(norm).kept_channels[..., ~keep] = 0
    found = norm(x * keep)
    assert (found[..., keep] - small(x[..., keep])).abs().max() < 1e-13
    assert not found[..., ~keep].any()


@pytest.mark.parametrize('kind', [nn.LayerNorm, ChannelsFirst, *([RMS] if RMS else [])])
def test_the_stream_is_one_unit_and_slices_exactly(kind: type) -> None:
    first = kind is ChannelsFirst
    model = Stream((lambda width: nn.Sequential(Swap(), ChannelsFirst(width), Swap()))
                   if first else kind).eval()
    graph = analyze(model, torch.randn(2, 5, 6))
    assert {unit.name: unit.num_channels for unit in graph.units}['embed_(0, 12)_12'] == 12
    assert graph.reachable_share > 0.99 and graph.prove(0.6) < 1e-12
    small = slice_model(model, graph, random_keep(graph.units, 0.5, 0))
    sliced = [module for module in small.modules() if isinstance(module, kind)]
    assert all(type(module) is kind and module.normalized_shape == (6, ) for module in sliced)
    assert not any(name.endswith(KEPT) for name in small.state_dict())


class Swap(nn.Module):

    def forward(self, x):
        return x.transpose(1, 2)


def test_analysis_leaves_the_model_as_it_was() -> None:
    model = Stream()
    analyze(model, torch.randn(2, 5, 6))
    assert not shares(model) and all(type(norm) is nn.LayerNorm for norm in model.norms)


def test_what_is_kept_of_a_stream_keeps_the_stream() -> None:
    graph = analyze(Stream(), torch.randn(2, 5, 6), keep=['embed'])
    assert [unit.name for unit in graph.units] == ['up.0_(0, 24)_24', 'up.1_(0, 24)_24']


def test_a_functional_norm_freezes_the_stream() -> None:

    class Functional(Stream):

        def forward(self, x):
            return self.head(F.layer_norm(self.embed(x), (12, )).mean(1) + self.embed(x).mean(1))

    class Inner(Functional):

        def forward(self, x):
            return super().forward(self.down[0](self.up[0](self.embed(x)))[..., :6])

    graph = analyze(Inner(), torch.randn(2, 5, 6))
    assert [unit.name for unit in graph.units] == ['up.0_(0, 24)_24']
    assert 'native_layer_norm' in {entry.operator for entry in graph.frozen}


def test_dense_weights_load_and_shares_are_saved() -> None:
    dense, model = Stream(), mask_norms(Stream())
    model.norms[0].kept_channels[3] = 0
    model.load_state_dict(dense.state_dict())
    assert model.norms[0].kept_channels.tolist() == [1, 1, 1, 0, *8 * [1]]
    again = mask_norms(Stream())
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.norms[0].kept_channels, model.norms[0].kept_channels)


@pytest.mark.parametrize('kind', [nn.LayerNorm, *([RMS] if RMS else [])])
def test_half_precision_follows_torch(kind: type) -> None:
    norm = kind(64)
    x = torch.randn(4, 64)
    half = norm.bfloat16()(x.bfloat16())
    found = mask_norms(norm)(x.bfloat16())
    assert found.dtype == half.dtype and torch.allclose(found, half, atol=0.05)


def test_torchs_fused_encoder_layer_does_not_pass_the_shares_by() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0).double().eval()
    x = torch.randn(2, 5, 8, dtype=torch.double)
    mask_norms(layer).norm1.kept_channels[:4] = 0
    with torch.no_grad():
        fused = layer(x)
    assert torch.allclose(layer(x), fused)
