"""Gait models under quantization: per-part matrices, 3-D convolutions, and what stays float."""
from __future__ import annotations

import copy

import pytest
import torch

from razor_ext.gait import QuantPartLinear
from razor_ext.gait.models import PartLinear
from razor_ext.quantization import (
    QuantConfig,
    QuantConfigError,
    apply_quant,
    calibrate,
    count_costs,
    fix_bits,
    float_mode,
    integer_weights,
    quant_spec,
    quantize_model,
    quantized_layers,
)

from .gait_builders import ZOO, build, gaitbase, gaitgl

EIGHT = QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8))


def part_linear() -> PartLinear:
    torch.manual_seed(0)
    return PartLinear(3, 6, 4)


@pytest.mark.parametrize('granularity', ['tensor', 'channel'])
def test_matrices_of_parts_are_quantized(granularity: str) -> None:
    layer, x = part_linear(), torch.randn(5, 6, 3)
    with torch.no_grad():  # outputs of very different size
        layer.weight[..., 0] *= 100
    expected = layer(x)
    quantize_model(layer, QuantConfig(weight_bits=(8, 8), activation_bits=None,
                                      weight_granularity=granularity))
    assert isinstance(layer, QuantPartLinear) and isinstance(layer, PartLinear)
    calibrate(layer, [x])
    with float_mode(layer):
        assert torch.equal(layer(x), expected)
    fix_bits(layer)
    integers, step = integer_weights(layer)
    assert step.shape == ((1, 1, 4) if granularity == 'channel' else (1,))
    assert integers.shape == (3, 6, 4) and integers.abs().max() <= 127
    manual = torch.einsum('nip,pio->nop', x, integers * step)
    torch.testing.assert_close(layer(x), manual, rtol=1e-4, atol=1e-4)
    error = (layer(x) - expected).abs().amax((0, 2)) / expected.abs().amax((0, 2))
    # one step for all channels drowns the small ones
    assert (error.max() < 0.02) == (granularity == 'channel') and error[0] < 0.02
    layer(x).square().mean().backward()
    assert layer.weight.grad.abs().sum() > 0 and layer.weight_quantizer.log_d.grad is not None


def test_the_cosine_classifier_and_gem_say_why_they_stay_float() -> None:
    base = build(gaitbase(5, (4, 6, 8, 10), 6))
    reasons = {info.name: info.reason for info in quantize_model(base, EIGHT) if info.reason}
    assert list(reasons) == ['head.classifier'] and 'normalize=True' in reasons['head.classifier']
    large = build(gaitgl(5, (4,), ((6,), (8,), (8,))))
    reasons = {info.name: info.reason for info in quantize_model(large, EIGHT) if info.reason}
    assert list(reasons) == ['pooling'] and 'power' in reasons['pooling']
    with pytest.raises(QuantConfigError, match=r"'pooling', which stays float: a learnt power"):
        quantize_model(build(gaitgl(5, (4,), ((6,), (8,), (8,)))), QuantConfig(
            layers={'pooling': {'weight_bits': (8, 8)}}))


def test_a_small_gaitgl_survives_eight_bits() -> None:
    model = build({**gaitgl(5, (4,), ((6,), (8,), (8,))), 'tensor_output': 'logits'})
    dense, x = copy.deepcopy(model), torch.rand(2, 1, 6, 64, 44)
    infos = quantize_model(model, EIGHT)
    calibrate(model, [x])
    fix_bits(model)
    types = {type(module).__name__ for _, module in quantized_layers(model)}
    assert types == {'QuantConv3d', 'QuantPartLinear'}
    with torch.no_grad():
        expected, found = dense(x), model(x)
    assert 0 < (found - expected).norm() / expected.norm() < 0.05
    spec = quant_spec(model, infos)
    assert list(spec['float_layers']) == ['pooling']
    rebuilt = copy.deepcopy(dense)
    apply_quant(rebuilt, spec)
    with torch.no_grad():
        torch.testing.assert_close(rebuilt(x), found, rtol=1e-4, atol=1e-5)
    costs = {cost.name: cost for cost in count_costs(model, x[:1])}
    for name in ('backbone.stage2.0.local_conv', 'head.fc'):
        assert costs[name].bops.item() == costs[name].macs * 8 * 8 > 0
    assert costs['head.fc'].bytes == pytest.approx(64 * 8 * 8)


@pytest.mark.parametrize(('name', 'types', 'layers', 'float_layers'), [
    ('deepgaitv2-p3d', {'QuantConv2d', 'QuantConv3d', 'QuantPartLinear'}, 19, ['head.classifier']),
    ('gaitset', {'QuantConv2d', 'QuantPartLinear'}, 11, []),
    ('gaitpart', {'QuantConv1d', 'QuantConv2d', 'QuantPartLinear'}, 71, []),
    ('gln', {'QuantConv2d', 'QuantPartLinear'}, 17, [])])
def test_the_zoo_survives_eight_bits(name: str, types: set, layers: int,
                                     float_layers: list) -> None:
    model = build(ZOO[name])
    dense, x = copy.deepcopy(model), torch.rand(2, 1, 6, 64, 44)
    infos = quantize_model(model, EIGHT)
    calibrate(model, [x])
    fix_bits(model)
    found = [type(module).__name__ for _, module in quantized_layers(model)]
    assert set(found) == types and len(found) == layers
    assert list(quant_spec(model, infos)['float_layers']) == float_layers
    with torch.no_grad():
        expected, got = dense(x), model(x)
    assert 0 < (got - expected).norm() / expected.norm() < 0.1
    costs = {cost.name: cost for cost in count_costs(model, x[:1])}
    assert costs['head.fc'].bops.item() == costs['head.fc'].macs * 8 * 8 > 0
