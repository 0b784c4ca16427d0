"""Costs against published figures, PyTorch's own counter and hand counts."""
from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from razor_ext.quantization import (
    QuantConfig,
    calibrate,
    count_costs,
    fix_bits,
    quantize_model,
    quantizer_handles,
    summarize_costs,
)

from .quant_cases import SmallNet, layer_cases


class Block(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
        self.short = nn.Sequential() if stride == 1 else nn.Sequential(
            nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        return (self.body(x) + self.short(x)).relu()


def resnet20():
    layers, inputs = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for width in (16, 32, 64):
        for _ in range(3):
            layers.append(Block(inputs, width, 2 if inputs != width else 1))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def vgg7():
    layers, inputs = [], 3
    for width in (128, 256, 512):
        for _ in range(2):
            layers += [nn.Conv2d(inputs, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1024),
                         nn.ReLU(), nn.Linear(1024, 10))


@pytest.mark.smoke
@pytest.mark.parametrize(('build', 'macs', 'params'), [
    (resnet20, 40.81e6, 272_474), (vgg7, 608.05e6, 5_115_530)])
def test_published_networks(build, macs, params):
    model = build()
    total = summarize_costs(count_costs(model, torch.randn(1, 3, 32, 32)))
    assert total['macs'] == pytest.approx(macs, abs=0.005e6)
    assert total['params'] == params
    assert total['bytes'] == 4 * params
    assert total['bops'] == 1024 * total['macs'] and total['relative_bops'] == 1


@pytest.mark.parametrize('name', layer_cases())
def test_each_layer_agrees_with_torch(name):
    layer, x = layer_cases()[name]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(x)
    assert sum(c.macs for c in count_costs(layer, x)) * 2 == counter.get_total_flops()


def test_attention_is_counted():
    class Attention(nn.Module):
        def forward(self, q, k, v):
            return nn.functional.scaled_dot_product_attention(q, k, v)

    q, kv = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8)
    cost, = count_costs(Attention(), (q, kv, kv))
    assert cost.macs == 2 * 3 * 5 * 7 * (8 + 8)


def test_bops_bytes_and_sides_of_a_quantized_model():
    x = torch.randn(1, 3, 8, 8)
    model = SmallNet()
    dense = summarize_costs(count_costs(model, x))
    quantize_model(model, QuantConfig(
        weight_bits=(4, 4), activation_bits=(8, 8),
        layers={'gau': {'activation_bits': (6, 6)}, 'up': {'activation_bits': None}}))
    before = [c.macs for c in count_costs(model, x)]
    calibrate(model, [x])
    fix_bits(model)
    model.train()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    costs = {c.name: c for c in count_costs(model, x)}
    assert model.training and all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert before == [c.macs for c in costs.values()]
    assert costs['conv1'].bops.item() == costs['conv1'].macs * 4 * 8
    assert costs['up'].bops.item() == costs['up'].macs * 4 * 32
    assert costs['gau'].bops.item() == costs['gau'].macs * 6 * 6
    assert costs['parts'].bops.item() == costs['parts'].macs * 4 * 8
    assert costs['conv1'].bytes == model.conv1.weight.numel() / 2 + 8 * 4
    total = summarize_costs(list(costs.values()), dense['macs'] * 2)
    assert total['macs'] == dense['macs'] and total['params'] == dense['params']
    assert total['relative_bops'] == pytest.approx(total['bops'] / dense['bops'] / 2)


def test_bops_are_differentiable_in_the_step_sizes():
    model = nn.Sequential(nn.Linear(4, 4))
    quantize_model(model, QuantConfig())
    calibrate(model, [torch.randn(3, 4)])
    sum(c.bops for c in count_costs(model, torch.randn(1, 4))).backward()
    # A larger step means fewer bits.
    assert all(h.log_d.grad.item() < 0 for h in quantizer_handles(model))


def test_shared_modules_and_weights():
    layer = nn.Linear(4, 4, bias=False)
    model = nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(4, 4, bias=False))
    model[3].weight = layer.weight
    total = summarize_costs(count_costs(model, torch.randn(1, 4)))
    assert total['macs'] == 48 and total['params'] == 16
