"""Quantized layers: values, what stays, sharing, slicing, precision, copies and export."""
from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from razor_ext.quantization import (
    CalibrationError,
    QuantConfig,
    QuantConfigError,
    QuantLayer,
    QuantMatmul,
    bit_table,
    calibrate,
    fix_bits,
    float_mode,
    integer_weights,
    quantize_model,
    quantizer_handles,
    register_quant_layer,
    remove_quantizers,
    scale_followers,
)

from .quant_cases import GatedUnit, SmallNet, layer_cases

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def ready(model=None, batches=(X,), **config):
    model = model or SmallNet()
    quantize_model(model, QuantConfig(**config))
    calibrate(model, batches)
    return model


@pytest.mark.smoke
@pytest.mark.parametrize('granularity', ['tensor', 'channel'])
@pytest.mark.parametrize('name', layer_cases())
def test_a_layer_computes_the_float_operation_on_grid_values(name, granularity):
    layer, x = layer_cases()[name]
    twin = copy.deepcopy(layer)
    model = nn.Sequential(layer)
    ready(model, (x,), weight_bits=(5, 5), activation_bits=(6, 6), weight_granularity=granularity)
    with torch.no_grad():
        twin.weight.copy_(layer.weight_quantizer(layer.weight))
        x_q = layer.input_quantizer(x)
        assert not torch.equal(x_q, x) and len(x_q.unique()) <= 64
        torch.testing.assert_close(model(x), twin(x_q), rtol=0, atol=0)
    if granularity == 'channel':
        assert layer.weight_quantizer.log_d.numel() == layer.weight.shape[layer.weight_channel_dim]


def test_sixteen_bits_change_next_to_nothing_and_gradients_reach_every_parameter():
    torch.manual_seed(0)
    model = SmallNet()
    dense = copy.deepcopy(model)
    ready(model, weight_bits=(2, 16), activation_bits=(2, 16))
    with float_mode(model):
        assert torch.equal(model.eval()(X), dense.eval()(X))
    y, y_dense = model(X), dense(X)
    assert (y - y_dense).norm() < 1e-3 * y_dense.norm()
    y.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_modules_parameters_names_hooks_and_flags_stay():
    model = SmallNet()
    model.conv1.weight.requires_grad_(False)
    calls = []
    model.conv1.register_forward_hook(lambda *_: calls.append(1))
    before = dict(model.named_parameters())
    state = copy.deepcopy(model.state_dict())
    conv1 = model.conv1
    infos = quantize_model(model, QuantConfig())
    assert model.conv1 is conv1 and isinstance(conv1, nn.Conv2d) and isinstance(conv1, QuantLayer)
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    assert not conv1.weight.requires_grad and conv1.padding_mode == 'reflect'
    assert [i.name for i in infos] == ['conv1', 'conv10', 'up', 'gau', 'gau.uv', 'gau.o', 'parts']
    assert not any(i.reason for i in infos)
    calibrate(model, [X])
    model(X)
    assert calls
    remove_quantizers(model)
    assert type(conv1) is nn.Conv2d and type(model.gau) is GatedUnit
    assert set(model.state_dict()) == set(state)


def test_a_float_checkpoint_loads_and_a_quantized_one_restores_everything():
    float_state = SmallNet().state_dict()
    model = SmallNet()
    quantize_model(model, QuantConfig())
    missing, unexpected = model.load_state_dict(float_state, strict=False)
    assert not unexpected and all('_quantizer.' in key for key in missing)
    calibrate(model, [X])
    fix_bits(model)
    other = SmallNet()
    quantize_model(other, QuantConfig())
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.eval()(X), model.eval()(X))
    assert all(h.quantizer.fixed_bits == 16 for h in quantizer_handles(other))


def test_an_uncalibrated_layer_is_named():
    model = SmallNet()
    quantize_model(model, QuantConfig())
    with pytest.raises(CalibrationError, match=r'conv1\.input is not calibrated'):
        model(X)


def test_deepcopy_is_independent():
    model = ready()
    twin = copy.deepcopy(model)
    assert torch.equal(twin.eval()(X), model.eval()(X))
    with torch.no_grad():
        twin.conv1.weight_quantizer.log_q_m.sub_(2)
    assert not torch.equal(twin(X), model(X))


def test_shared_weights_share_one_quantizer_and_one_scale():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    ready(model, (torch.randn(5, 6),), weight_granularity='channel')
    assert model[0].weight_quantizer is model[2].weight_quantizer
    assert len([h for h in quantizer_handles(model) if h.weight is not None]) == 1
    assert torch.equal(integer_weights(model[0])[0], integer_weights(model[2])[0])
    assert list(scale_followers(model)) == ['0.weight']


def test_channel_scales_follow_a_slice_of_the_output_channels():
    model = ready(weight_granularity='channel', weight_bits=(4, 4))
    keep = torch.tensor([0, 2, 3, 7])
    followers = scale_followers(model)
    assert followers['up.weight'] == [('up.weight_quantizer.log_d', 1),
                                      ('up.weight_quantizer.log_q_m', 1)]
    parameters = dict(model.named_parameters())
    before = model.conv1.weight_quantizer(model.conv1.weight).detach()
    for name, dim in [('conv1.weight', 0), *followers['conv1.weight']]:
        parameters[name].data = parameters[name].data.index_select(dim, keep)
    after = model.conv1.weight_quantizer(model.conv1.weight)
    assert torch.equal(after, before[keep])
    assert scale_followers(ready(weight_granularity='tensor')) == {}


def test_weights_only_and_activations_only():
    weights = ready(batches=(), activation_bits=None)
    assert all(h.weight is not None for h in quantizer_handles(weights))
    activations = ready(weight_bits=None)
    assert all(h.weight is None for h in quantizer_handles(activations))
    assert torch.isfinite(weights(X)).all() and torch.isfinite(activations(X)).all()


def test_overrides_and_float_layers_by_exact_name():
    model = SmallNet()
    infos = quantize_model(model, QuantConfig(
        layers={'conv1': {'weight_bits': (8, 8), 'activation_bits': None}},
        float_layers={'up': 'not supported by the target'}))
    reasons = {i.name: i.reason for i in infos if i.reason}
    assert reasons == {'up': 'not supported by the target'}
    assert type(model.up) is nn.ConvTranspose2d
    calibrate(model, [X])
    table = {row['layer']: row for row in bit_table(model)}
    assert table['conv1']['weight_bits'] == pytest.approx(8)
    assert table['conv1']['activation_bits'] == {}
    assert table['conv10']['weight_bits'] == pytest.approx(16)
    assert set(table['gau']['activation_bits']) == {'query', 'key', 'kernel', 'value'}


def test_layers_of_unknown_types_stay_float_with_a_reason():
    class OwnConv(nn.Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    class PlainChild(nn.Conv2d):
        pass

    model = nn.Sequential(OwnConv(3, 4, 1), PlainChild(4, 4, 1), nn.Bilinear(2, 3, 4),
                          nn.MultiheadAttention(4, 2, kdim=3), nn.Embedding(3, 4, max_norm=1.))
    infos = {i.name: i for i in quantize_model(model, QuantConfig())}
    assert 'overrides the forward of Conv2d' in infos['0'].reason
    assert infos['1'].reason is None and isinstance(model[1], QuantLayer)
    assert 'Bilinear is not registered' in infos['2'].reason
    assert 'kdim' in infos['3'].reason
    assert 'without calling it' in infos['3.out_proj'].reason
    assert 'max_norm' in infos['4'].reason


@pytest.mark.parametrize(('config', 'message'), [
    ({'weight_bits': (8, 4)}, r'weight_bits=\(8, 4\)'),
    ({'activation_bits': (1, 8)}, r'activation_bits=\(1, 8\)'),
    ({'weight_bits': (4, 32)}, 'most <= 16'),
    ({'weight_bits': 8}, 'two integers'),
    ({'weight_granularity': 'row'}, "'row'"),
    ({'activation_scheme': 'int8'}, "'int8'"),
    ({'activation_power': True}, 'zero point'),
    ({'layers': {'conv1': {'weight_bit': (4, 8)}}}, "did you mean 'weight_bits'"),
    ({'layers': {'conv1': {'weight_bits': (9, 8)}}}, r"layers\['conv1'\]"),
    ({'layers': {'conv': {}}}, "did you mean 'conv1'"),
    ({'float_layers': {'head': 'why'}}, "float_layers names 'head'"),
    ({'float_layers': {'conv1': ''}}, 'reason'),
    ({'weight_bits': None, 'activation_bits': None}, 'nothing would be quantized'),
])
def test_bad_settings_are_named_and_leave_the_model_alone(config, message):
    model = SmallNet()
    with pytest.raises(QuantConfigError, match=message):
        quantize_model(model, QuantConfig(**config))
    assert not any(isinstance(m, QuantLayer) for m in model.modules())


def test_quantizing_twice_or_nothing_is_refused():
    model = ready()
    with pytest.raises(QuantConfigError, match="'conv1' is quantized already"):
        quantize_model(model, QuantConfig())
    with pytest.raises(QuantConfigError, match='no layer'):
        quantize_model(nn.Sequential(nn.ReLU()), QuantConfig())


def test_a_matmul_layer_must_declare_its_operands():
    class Product(nn.Module):
        def forward(self, a, b):
            return a @ b

    @register_quant_layer(Product)
    class QuantProduct(QuantMatmul):
        weight_name = None
        operands = ('left',)

    model = nn.Sequential()
    model.product = Product()
    quantize_model(model, QuantConfig())
    batch = (torch.randn(2, 3), torch.randn(3, 2))
    with pytest.raises(RuntimeError, match='more activations than its operands'):
        calibrate(model, [batch], run=lambda m, b: m.product(*b))
    with pytest.raises(ValueError, match='already registered'):
        register_quant_layer(nn.Linear)(QuantProduct)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    torch.manual_seed(0)
    model = ready(activation_bits=(8, 8), weight_bits=(8, 8))
    wide = model(X)
    try:
        torch.set_autocast_cpu_dtype(dtype)
    except RuntimeError:
        pytest.skip(f'this torch has no CPU autocast to {dtype}')
    finally:
        torch.set_autocast_cpu_dtype(torch.bfloat16)
    with torch.autocast('cpu', dtype=dtype):
        y = model(X)
        y.float().square().mean().backward()
    assert (y.float() - wide).norm() < 0.2 * wide.norm()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_trace_and_onnx_are_plain_fake_quantization():
    import onnxruntime
    model = ready(weight_bits=(4, 6), activation_bits=(8, 8)).eval()
    fix_bits(model)
    with torch.no_grad():
        y = model(X)
        traced = torch.jit.trace(model, X)
        torch.testing.assert_close(traced(X), y, rtol=1e-5, atol=1e-5)
        buffer = io.BytesIO()
        options = {} if 'dynamo' not in torch.onnx.export.__code__.co_varnames else {
            'dynamo': False}
        torch.onnx.export(model, X, buffer, opset_version=17, **options)
    session = onnxruntime.InferenceSession(buffer.getvalue())
    out = session.run(None, {session.get_inputs()[0].name: X.numpy()})[0]
    # A value on the edge of two steps may fall to either side.
    assert (torch.from_numpy(out) - y).norm() < 0.02 * y.norm()


def test_ema_copies_follow():
    from mmengine.model import ExponentialMovingAverage
    model = SmallNet()
    quantize_model(model, QuantConfig())
    average = ExponentialMovingAverage(model, momentum=0.1, update_buffers=True)
    calibrate(model, [X])
    average.update_parameters(model)
    restored = SmallNet()
    quantize_model(restored, QuantConfig())
    restored.load_state_dict(average.module.state_dict())
    assert torch.equal(restored.eval()(X), model.eval()(X))


@pytest.mark.parametrize('layers', [0, 2], ids=['layer', 'encoder'])
@pytest.mark.parametrize('activation', ['relu', 'gelu'])
def test_a_transformer_encoder_evaluates_its_quantized_layers(layers, activation):
    """Its fast path hands the weights to one fused operator and calls no layer."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16, 0., activation, batch_first=True)
    if layers:
        model = nn.TransformerEncoder(model, layers)
    x = torch.randn(3, 5, 8)
    padding = torch.arange(5) >= torch.tensor([5, 3, 4])[:, None]
    with torch.no_grad():
        plain = model.eval()(x)
    infos = quantize_model(model, QuantConfig(weight_bits=(3, 3), activation_bits=(4, 4)))
    assert {info.name.rpartition('.')[2] for info in infos if info.reason is None} == {
        'self_attn', 'out_proj', 'linear1', 'linear2'}
    calibrate(model, [x])
    copied = copy.deepcopy(model)
    for quantized in (model.eval(), copied.eval()):
        with torch.no_grad():
            evaluated, padded = quantized(x), quantized(x, src_key_padding_mask=padding)
        traced = quantized(x)  # with gradients there is no fast path
        torch.testing.assert_close(evaluated, traced)
        torch.testing.assert_close(padded[0], evaluated[0])
        assert (evaluated - plain).abs().max() > 1e-2
    remove_quantizers(model)
    with torch.no_grad():
        torch.testing.assert_close(model(x), plain)
