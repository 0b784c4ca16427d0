"""Attention whose heads are removed: stand-ins compute what they stand for, and slice exactly."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from razor_ext.graph import analyze, slice_model
from razor_ext.graph.stand_ins import conceal, expose

from .graph_nets import random_keep

OPTIONS = {
    'packed': {}, 'no bias': dict(bias=False), 'batch second': dict(batch_first=False),
    'own widths': dict(kdim=6, vdim=10)}


def attention(**options) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(16, 4, **{'batch_first': True, **options}).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize('weights', [None, True, False])
@pytest.mark.parametrize('same', [True, False])
@pytest.mark.parametrize('name', OPTIONS)
def test_the_stand_in_is_torchs_attention(name: str, same: bool, weights: bool | None) -> None:
    module = attention(**OPTIONS[name])
    x = torch.randn(3, 5, 16, dtype=torch.float64)
    if same and name != 'own widths':
        call = (x, x, x)
        length = 5 if module.batch_first else 3
        masks = dict(attn_mask=torch.randn(length, length, dtype=torch.float64))
    else:
        call = tuple(torch.randn(3, 7, width, dtype=torch.float64)
                     for width in (16, module.kdim, module.vdim))
        masks = dict(key_padding_mask=torch.rand(3, 7) < 0.3,
                     attn_mask=torch.rand(7, 7) < 0.2) if module.batch_first else {}
    asked = dict(need_weights=weights is not None, average_attn_weights=weights is not False)
    expected = module(*call, **masks, **asked)
    assert expose(module) == ['']
    found = module(*call, **masks, **asked)
    for a, b in zip(found, expected):
        assert (a is None) == (b is None)
        assert b is None or torch.allclose(a, b, atol=1e-12, equal_nan=True)
    conceal(module, [''], [])
    assert type(module) is nn.MultiheadAttention and module._qkv_same_embed_dim == (
        name != 'own widths')


class Encoder(nn.Module):
    """Two of torch's encoder layers."""

    def __init__(self, **options) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.layers = nn.Sequential(*(nn.TransformerEncoderLayer(
            16, 4, 24, batch_first=True, **options) for _ in range(2)))
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.layers(self.embed(x)).mean(1))


@pytest.mark.parametrize('norm_first', [True, False])
def test_torchs_encoder_loses_heads_and_width(norm_first: bool) -> None:
    model = Encoder(norm_first=norm_first).eval()
    graph = analyze(model, torch.randn(2, 5, 6))
    sizes = {unit.name: unit.num_channels for unit in graph.units}
    assert sizes == {'embed_(0, 16)_16': 16,
                     **{f'layers.{i}.self_attn.in_proj_weight_(0, 48)_4': 4 for i in (0, 1)},
                     **{f'layers.{i}.linear1_(0, 24)_24': 24 for i in (0, 1)}}
    assert graph.reachable_share > 0.99 and graph.prove(0.5) < 1e-12
    small = slice_model(model, graph, random_keep(graph.units, 0.5, 0))
    assert small.layers[0].self_attn.num_heads == 2 and small.layers[0].self_attn.embed_dim == 8
    assert small.layers[0].self_attn.out_proj.in_features == 8
    assert small.load_state_dict(small.state_dict())


def test_an_attention_that_stays_whole_stays_torchs_own() -> None:
    model = Encoder().eval()
    graph = analyze(model, torch.randn(2, 5, 6))
    small = slice_model(model, graph, {'layers.0.linear1_(0, 24)_24': torch.arange(24) < 9})
    assert type(small.layers[0].self_attn) is nn.MultiheadAttention


def test_a_single_head_loses_channels() -> None:
    """As in the first stage of SegFormer and PVT, which ask for the weights."""

    class Single(nn.Module):

        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
            self.attention = nn.MultiheadAttention(8, 1, batch_first=True)

        def forward(self, x):
            x = self.embed(x)
            return self.head(x + self.attention(x, x[:, ::2], x[:, ::2])[0])

    model = Single().eval()
    graph = analyze(model, torch.randn(2, 4, 6))
    assert graph.reachable_share > 0.98 and graph.prove(0.5) < 1e-12
    small = slice_model(model, graph, random_keep(graph.units, 0.5, 0)).attention
    assert (small.num_heads, small.head_dim, small.scale) == (1, 4, 8**-0.5)


class Windows(nn.Module):
    """Swin's block of one package: embed, attend within windows, read out."""

    def __init__(self, attention: nn.Module, width: int) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(6, width), nn.LayerNorm(width)
        self.attention, self.head = attention, nn.Linear(width, 3)

    def forward(self, x, mask):
        x = self.embed(x)
        return self.head(x + self.attention(self.norm(x), mask=mask))


@pytest.mark.parametrize('package', ['mmpose.models.backbones.swin', 'mmdet.models.backbones.swin',
                                     'mmpose.models.backbones.hrformer',
                                     'mmpretrain.models.utils.attention',
                                     'mmseg.models.backbones.swin'])
def test_window_attention_loses_heads_and_width(package: str) -> None:
    module = pytest.importorskip(package, exc_type=ImportError)
    torch.manual_seed(0)
    window = module.WindowMSA(embed_dims=12, num_heads=3, window_size=(2, 2))
    nn.init.normal_(window.relative_position_bias_table)
    inputs = (torch.randn(8, 4, 12), torch.randn(4, 4, 4))
    expected = window(*inputs)
    replaced = expose(window)
    assert replaced == [''] and torch.allclose(window(*inputs), expected, atol=1e-6)
    conceal(window, replaced, [])
    assert type(window) is module.WindowMSA
    model = Windows(window, 12).eval()
    graph = analyze(model, (torch.randn(8, 4, 6), inputs[1]))
    assert {unit.num_channels for unit in graph.units} == {3, 12}
    assert graph.reachable_share > 0.99 and graph.prove(0.4) < 1e-12
    small = slice_model(model, graph, random_keep(graph.units, 0.4, 0))
    assert small.attention.num_heads == 2 and small.attention.qkv.in_features == 7
