"""Integers in the graph: placed, fused, and the same as torch's."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from razor_ext.deploy.errors import AuditError, DeployError, ParityError
from razor_ext.deploy.integers.audit import audit, optimized_graph
from razor_ext.deploy.integers.grids import Grid, activation_grid, layer_grids
from razor_ext.deploy.integers.layer_parity import compare_layers, require_layers
from razor_ext.deploy.integers.match import match_layers
from razor_ext.deploy.integers.plan_corrections import silu_floor
from razor_ext.deploy.integers.qdq import insert_qdq
from razor_ext.deploy.integers.qdq_plan import plan_grids
from razor_ext.deploy.session import open_session
from razor_ext.quantization import QuantConfig, Quantizer, fix_bits

from ..small_net import batches, export, feeds, float_net, quantized_net

LAYERS = 7


def quantize(config: QuantConfig | None = None):
    model = quantized_net(config)
    return model, insert_qdq(export(float_net()), layer_grids(model), feeds())


def run(model: onnx.ModelProto, feed: dict) -> np.ndarray:
    return open_session(model.SerializeToString(), threads=1).run(None, feed)[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 16), st.sampled_from(['signed', 'unsigned', 'affine']),
       st.floats(0.05, 50), st.floats(0.1, 0.9), st.integers(0, 2 ** 16))
def test_grid_is_the_quantizer(bits, scheme, span, below, seed):
    quantizer = Quantizer('layer.input', scheme, (bits, bits))
    low = -span * below if scheme != 'unsigned' else 0.0
    quantizer.set_range(torch.tensor([low]), torch.tensor([span]))
    quantizer.fix_bits_()
    grid = activation_grid(quantizer)
    x = torch.randn(500, generator=torch.Generator().manual_seed(seed)) * span
    with torch.no_grad():
        expected = quantizer(x).numpy()
    stored = grid.quantize(x.numpy())
    assert stored.min() >= grid.low
    assert stored.max() <= grid.high
    assert grid.high - grid.low == 2 ** bits - (2 if scheme == 'signed' else 1)
    np.testing.assert_allclose(grid.dequantize(stored), expected, rtol=1e-6, atol=span * 1e-7)


@pytest.mark.parametrize('config', [
    QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8)),
    QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8), weight_granularity='channel'),
    QuantConfig(weight_bits=(4, 4), activation_bits=(4, 4)),
    QuantConfig(weight_bits=(2, 2), activation_bits=(3, 3), activation_scheme='signed'),
    QuantConfig(weight_bits=(6, 6), activation_bits=(8, 8),
                layers={'pointwise.0': {'weight_bits': (4, 4), 'activation_bits': (5, 5)}}),
], ids=['8', 'per channel', '4', '2 and 3', 'mixed'])
def test_every_layer_runs_on_integers_and_agrees(config):
    model, exported = quantize(config)
    assert len(exported.integer) == LAYERS
    assert exported.floating == {}
    operators = audit(exported.model, exported.integer)
    assert operators['QLinearConv'] == 5
    assert operators['QLinearMul'] == 3  # two SiLU and the attention
    assert {'QLinearAdd', 'QLinearConcat', 'QLinearSigmoid',
            'QLinearGlobalAveragePool'} <= set(operators)
    rows = compare_layers(exported, model, feeds())
    require_layers(rows)
    assert {row.layer for row in rows} == {match.layer.name for match in
                                           (layer.match for layer in exported.integer)}
    assert max(row.differing for row in rows if row.layer != 'output') < 0.1


def test_outputs_follow_fake_quantization():
    model, exported = quantize()
    plain = export(float_net())
    for batch, feed in zip(batches(), feeds()):
        with torch.no_grad():
            fake = model(batch).numpy()
        error = np.abs(run(exported.model, feed) - fake).max()
        assert error < 0.05 * np.abs(fake).max()
        assert np.abs(run(plain, feed) - fake).max() > 0


def test_tensors_between_layers_have_the_range_behind_the_trained_clips():
    """Without its clips the float graph runs away, and makes the steps a hundred times wider."""
    model = quantized_net()
    wild = [{'input': 100 * feed['input']} for feed in feeds()]
    exported = insert_qdq(export(float_net()), layer_grids(model), wild)
    for feed in wild:
        with torch.no_grad():
            fake = model(torch.from_numpy(feed['input'])).numpy()
        assert np.abs(run(exported.model, feed) - fake).max() < 0.05 * np.abs(fake).max()


def test_wide_activations_stay_float_and_exact():
    config = QuantConfig(weight_bits=(8, 8), activation_bits=(16, 16))
    model, exported = quantize(config)
    assert exported.integer == ()
    assert set(exported.floating.values()) == {'activations of more than 8 bits'}
    for batch, feed in zip(batches(), feeds()):
        with torch.no_grad():
            np.testing.assert_allclose(run(exported.model, feed), model(batch).numpy(), atol=2e-3)


def test_mixed_widths_survive_bit_for_bit(tmp_path):
    config = QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8), layers={
        'stem.0': {'weight_bits': (16, 16)}, 'depthwise.0': {'weight_bits': (4, 4)},
        'hidden': {'weight_bits': (6, 6)}})
    model, exported = quantize(config)
    assert exported.floating == {'stem.0': 'weights of more than 8 bits'}
    assert len(exported.integer) == LAYERS - 1
    path = tmp_path / 'mixed.onnx'
    onnx.save(exported.model, path)
    stored = {item.name: numpy_helper.to_array(item) for item in onnx.load(path).graph.initializer}
    widths = {'depthwise.0': 4, 'hidden': 6}
    for layer in exported.integer:
        name = layer.match.layer.name
        integers = stored[layer.stored_weight]
        assert integers.dtype == np.int8
        kept = (layer.match.factor != 0).reshape(
            [-1 if axis == layer.match.channel_axis else 1 for axis in range(integers.ndim)])
        learned = np.abs(layer.match.layer.integers.transpose(layer.match.axes)) * kept
        assert learned.max() <= 2 ** (widths.get(name, 8) - 1) - 1
        power = np.abs(integers).max() // learned.max()
        assert power & (power - 1) == 0
        np.testing.assert_array_equal(np.abs(integers.astype(int)), learned * power)
    wide = [array for array in stored.values() if array.dtype == np.int16]
    assert max(np.abs(array).max() for array in wide) > 127
    again = insert_qdq(export(float_net()), layer_grids(model), feeds())
    assert again.model.SerializeToString() == exported.model.SerializeToString()


def test_exported_weight_is_the_fake_quantized_one():
    model, exported = quantize()
    layer = next(layer for layer in exported.integer if layer.match.layer.name == 'stem.0')
    bn = model.stem[1]
    factor = (bn.weight / (bn.running_var + bn.eps).sqrt()).detach().numpy().reshape(-1, 1, 1, 1)
    with torch.no_grad():
        expected = model.stem[0].quantize_weight().numpy() * factor
    written = layer.integers * layer.scale.reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(written, expected, rtol=1e-4, atol=1e-7)
    floats = [numpy_helper.to_array(item) for item in exported.on_grids.graph.initializer]
    same = [array for array in floats if array.shape == expected.shape]
    assert len(same) == 1
    np.testing.assert_allclose(same[0], expected, rtol=1e-4, atol=1e-7)
    assert (np.sign(factor[2]) < 0).all()
    assert not layer.integers[5].any()


def test_audit_names_a_layer_that_stayed_float():
    _, exported = quantize()
    broken = onnx.ModelProto()
    broken.CopyFrom(exported.model)
    target = next(layer for layer in exported.integer if layer.match.layer.name == 'pointwise.0')
    conv = next(node for node in broken.graph.node
                if node.op_type == 'Conv' and f'{target.stored_weight}_float' in node.input)
    # Someone reads the convolution before it is quantized: it cannot be fused.
    broken.graph.output.append(onnx.ValueInfoProto(name=conv.output[0]))
    with pytest.raises(AuditError, match=r'pointwise\.0 \('):
        audit(broken, exported.integer)


@pytest.mark.parametrize('operator, layers', [('Mul', "'stem.0'"), ('Add', "'pointwise.0'")])
def test_audit_names_the_node_that_onnxruntime_refuses(operator, layers):
    """A step of shape [1] is what QLinearMul takes for one per channel."""
    _, exported = quantize()
    broken = onnx.ModelProto()
    broken.CopyFrom(exported.model)
    target = next(node for node in broken.graph.node if node.op_type == operator)
    steps = next(node.input[1] for node in broken.graph.node if node.output[0] == target.input[0])
    next(item for item in broken.graph.initializer if item.name == steps).dims.append(1)
    with pytest.raises(AuditError, match=(
            rf'refuses node .*QLinear.* follows .*{layers}.*: Scale and Zero-point must be a '
            'scalar; leave them in float by float_layers')):
        audit(broken, exported.integer)


def test_wrong_integers_are_noticed():
    model, exported = quantize()
    wrong = [replace(layer, integers=layer.integers + 1)
             if layer.match.layer.name == 'stem.0' else layer for layer in exported.integer]
    rows = compare_layers(replace(exported, integer=tuple(wrong)), model, feeds())
    with pytest.raises(ParityError, match=r'stem\.0'):
        require_layers(rows)
    with torch.no_grad():
        model.depthwise[0].weight *= 1.2
    rows = compare_layers(exported, model, feeds())
    assert next(row for row in rows if row.layer == 'depthwise.0').torch > 1


def test_other_weights_do_not_match():
    model = quantized_net()
    with torch.no_grad():
        model.last.weight[0, 0] += 0.5
    with pytest.raises(DeployError, match=r"'last'.*do not belong together"):
        match_layers(export(float_net()), layer_grids(model))


def test_bias_beyond_int32_stays_float():
    model, plain = quantized_net(), export(float_net())
    for item in plain.graph.initializer:
        if list(item.dims) == [6]:
            item.CopyFrom(numpy_helper.from_array(np.full(6, 1e9, np.float32), item.name))
    exported = insert_qdq(plain, layer_grids(model), feeds())
    assert list(exported.floating) == ['last']
    assert 'int32' in exported.floating['last']


def test_relu_is_absorbed_and_narrow_grids_are_clipped():
    _, exported = quantize(QuantConfig(weight_bits=(8, 8), activation_bits=(4, 4)))
    kinds = [node.op_type for node in exported.model.graph.node]
    assert 'Relu' not in kinds
    assert kinds.count('Clip') >= LAYERS
    graph = optimized_graph(exported.model).graph
    assert not any(node.op_type == 'Relu' for node in graph.node)


@pytest.mark.smoke
def test_requests_that_cannot_be_met():
    model = quantized_net()
    with pytest.raises(DeployError, match='opset_version=13'):
        insert_qdq(export(float_net(), opset=11), layer_grids(model), feeds())
    with pytest.raises(DeployError, match='calibration'):
        insert_qdq(export(float_net()), layer_grids(model), [])


def test_widths_must_be_whole():
    from razor_ext.quantization import calibrate, quantize_model
    model = float_net()
    quantize_model(model, QuantConfig(weight_bits=(4, 8), activation_bits=(4, 8)))
    calibrate(model, batches())
    with pytest.raises(DeployError, match='fix_bits'):
        layer_grids(model)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-4, 0.1))
def test_silu_below_its_floor_is_nothing(tolerance):
    floor = silu_floor(tolerance)
    x = np.linspace(floor - 20, floor, 500)
    assert np.abs(x / (1 + np.exp(-x))).max() <= tolerance


def test_silu_inputs_are_trimmed():
    _, exported = quantize()
    grids = {layer.match.layer.name: layer.grid for layer in exported.integer}
    plan = plan_grids(export(float_net()), [layer.match for layer in exported.integer])
    assert plan.unknown  # trimming had something to decide
    assert grids['stem.0'] == Grid(grids['stem.0'].scale, grids['stem.0'].zero_point, 0, 255)
    low = -grids['stem.0'].zero_point * grids['stem.0'].scale
    assert low >= silu_floor(1e-3)


def test_a_layer_that_is_used_twice():
    from razor_ext.quantization import calibrate, fix_bits, quantize_model

    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.conv(torch.relu(self.conv(x)) * 3)

    torch.manual_seed(0)
    model = Twice().eval()
    plain = export(model)
    quantize_model(model, QuantConfig(weight_bits=(3, 3), activation_bits=(4, 4)))
    calibrate(model, batches())
    fix_bits(model)
    exported = insert_qdq(plain, layer_grids(model), feeds())
    assert [layer.match.layer.name for layer in exported.integer] == ['conv', 'conv']
    audit(exported.model, exported.integer)
    require_layers(compare_layers(exported, model, feeds()))


def test_narrow_input_of_a_layer_does_not_narrow_what_others_read():
    """The stem's output feeds a layer of 3 bits, an addition and a concatenation."""
    model, exported = quantize(QuantConfig(
        weight_bits=(8, 8), activation_bits=(8, 8),
        layers={'depthwise.0': {'activation_bits': (3, 3)}}))
    batch = batches(1)[0]
    with torch.no_grad():
        expected = model(batch).numpy()
    got = run(exported.model, {'input': batch.numpy()})
    assert np.abs(got - expected).max() < 0.05 * np.abs(expected).max()
    require_layers(compare_layers(exported, model, feeds()))


def test_pool_onto_a_far_finer_grid_runs():
    """ONNX Runtime refuses an integer global pool whose output step is far below its input's."""
    model = quantized_net()
    model.attention.input_quantizer.set_range(torch.zeros(1), torch.full((1,), 2e-4))
    fix_bits(model)
    exported = insert_qdq(export(float_net()), layer_grids(model), feeds())
    assert np.isfinite(run(exported.model, feeds()[0])).all()
    require_layers(compare_layers(exported, model, feeds()))
