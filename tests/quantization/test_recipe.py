"""quant.json: round trips bit for bit, exact integers, and what is refused."""
from __future__ import annotations

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from razor_ext.quantization import (
    QuantConfig,
    QuantFileError,
    QuantLayer,
    apply_quant,
    calibrate,
    fix_bits,
    integer_weights,
    load_quant,
    quant_spec,
    quantize_model,
    quantized_layers,
    quantizer_handles,
    remove_quantizers,
    save_quant,
    slice_spec,
    structure_hash,
)

from .quant_cases import SmallNet

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def trained(seed=0, share=False, **config):
    """A model whose scales have wandered, with mixed whole bit widths."""
    torch.manual_seed(seed)
    model = SmallNet().eval()
    if share:
        model.again = model.conv1
    infos = quantize_model(model, QuantConfig(
        **{'weight_bits': (2, 8), 'activation_bits': (3, 10), **config}))
    calibrate(model, [X])
    with torch.no_grad():
        for handle in quantizer_handles(model):
            handle.log_q_m.add_(0.3 * torch.randn_like(handle.log_q_m))
            handle.log_d.add_(2 * torch.rand(()))
            if handle.log_t is not None:
                handle.log_t.add_(0.2 * torch.randn(1))
    fix_bits(model)
    return model, infos


def float_twin(model):
    twin = copy.deepcopy(model)
    remove_quantizers(twin)
    return twin


@pytest.mark.parametrize('config', [
    {}, {'weight_granularity': 'channel'}, {'activation_scheme': 'signed', 'weight_power': False},
    {'activation_bits': None}, {'layers': {'up': {'weight_bits': None}}},
    {'float_layers': {'conv1': 'reads the image'}}])
def test_round_trip_is_bit_for_bit(tmp_path, config):
    model, infos = trained(**config)
    path = tmp_path / 'quant.json'
    save_quant(path, model, infos)
    spec = load_quant(path)
    rebuilt = float_twin(model)
    apply_quant(rebuilt, spec)
    assert torch.equal(rebuilt(X), model(X))
    assert quant_spec(rebuilt) == {**spec, 'float_layers': {}}
    for old, new in zip(quantizer_handles(model), quantizer_handles(rebuilt)):
        assert old.name == new.name and torch.equal(old.quantizer.d, new.quantizer.d)
        assert new.quantizer.fixed_bits == old.quantizer.fixed_bits
    # A checkpoint of the run fits the rebuilt model.
    rebuilt.load_state_dict(model.state_dict())
    assert {p.name for p in tmp_path.iterdir()} == {'quant.json'}


def test_a_layer_of_two_names_makes_the_round_trip(tmp_path):
    """The heads of RTMDet share their convolutions, and a state dict has them under every name."""
    model, infos = trained(share=True)
    save_quant(tmp_path / 'quant.json', model, infos)
    rebuilt = float_twin(model)
    apply_quant(rebuilt, load_quant(tmp_path / 'quant.json'))
    assert torch.equal(rebuilt(X), model(X))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), bits=st.integers(2, 16), power=st.booleans(),
       granularity=st.sampled_from(['tensor', 'channel']))
def test_integers_times_step_are_the_weights_bit_for_bit(seed, bits, power, granularity):
    model, _ = trained(seed, weight_bits=(bits, bits), weight_power=power,
                       weight_granularity=granularity)
    for _, module in quantized_layers(model):
        if module.weight_name is None:
            continue
        integers, d = integer_weights(module)
        assert torch.equal(integers * d, module.weight_quantizer(module.weight))
        assert integers.abs().max() <= 2 ** (bits - 1) - 1


def test_activations_are_the_stored_integers_times_step():
    model, _ = trained(activation_bits=(8, 8))
    for name, module in quantized_layers(model):
        for operand, quantizer in module.operand_quantizers().items():
            grid = quant_spec(model)['layers'][name]['activations'][operand]
            x = torch.randn(500) * grid['q_m'][0]
            d = torch.tensor(grid['d'][0])
            stored = (x / d).round().add(grid['zero_point']).clamp(0, 255)
            assert grid['container'] == 'uint8'
            assert torch.equal((stored - grid['zero_point']) * d, quantizer(x))


def test_fixed_bits_stay_while_ranges_learn():
    model, _ = trained()
    before = [h.quantizer.fixed_bits for h in quantizer_handles(model)]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(3):
        optimizer.zero_grad()
        model(X).square().mean().backward()
        optimizer.step()
    assert all(h.log_d.grad.count_nonzero() == 0 and h.log_q_m.grad.count_nonzero() > 0
               for h in quantizer_handles(model))
    after = [h.quantizer.bits().item() for h in quantizer_handles(model)]
    assert after == before
    quant_spec(model)


@pytest.mark.parametrize('granularity', ['tensor', 'channel'])
def test_a_sliced_model_takes_its_share_of_the_spec(granularity):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4))
    quantize_model(model, QuantConfig(weight_granularity=granularity))
    x = torch.randn(7, 5)
    calibrate(model, [x])
    fix_bits(model)
    kept = torch.tensor([0, 2, 5])
    with torch.no_grad():
        for row in (1, 3, 4):
            model[0].weight[row] = 0
            model[0].bias[row] = 0
    sliced = nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 4))
    with torch.no_grad():
        sliced[0].weight.copy_(model[0].weight[kept])
        sliced[0].bias.copy_(model[0].bias[kept])
        sliced[2].weight.copy_(model[2].weight[:, kept])
        sliced[2].bias.copy_(model[2].bias)
    with pytest.raises(QuantFileError):
        apply_quant(sliced, quant_spec(model))
    apply_quant(sliced, slice_spec(quant_spec(model), sliced, {'0.weight': kept}))
    torch.testing.assert_close(sliced(x), model(x))
    assert torch.equal(integer_weights(sliced[0])[0], integer_weights(model[0])[0][kept])


def test_structure_hash_sees_channels_and_not_quantizers():
    model, _ = trained()
    assert structure_hash(model) == structure_hash(float_twin(model))
    assert structure_hash(nn.Linear(3, 4)) != structure_hash(nn.Linear(4, 3))


def test_writing_needs_calibrated_whole_bits(tmp_path):
    path = tmp_path / 'quant.json'
    path.write_text('kept')
    model = SmallNet()
    with pytest.raises(QuantFileError, match='no quantized layer'):
        save_quant(path, model)
    quantize_model(model, QuantConfig())
    with pytest.raises(QuantFileError, match='not calibrated'):
        save_quant(path, model)
    calibrate(model, [X])
    with pytest.raises(QuantFileError, match=r'fix_bits\(model\)'):
        save_quant(path, model)
    assert path.read_text() == 'kept' and len(list(tmp_path.iterdir())) == 1




@pytest.mark.parametrize(('path', 'value', 'message'), [
    (('version',), 3, 'version is 3'),
    (('version',), 1.0, 'version is 1.0'),
    (('versoin',), 1, "unknown key 'versoin'; did you mean 'version'"),
    (('layers', 'conv1', 'wieght'), None, "unknown key 'wieght'; did you mean 'weight'"),
    (('layers', 'conv1', 'weight', 'bit'), 4, "unknown key 'bit'; did you mean 'bits'"),
    (('layers', 'conv1', 'weight', 'state', 'log_d'), [1.0], "unknown key 'log_d'"),
    (('layers',), [], r'layers is \[\]'),
    (('layers', 'conv1', 'weight', 'bits'), 33, r"layers\['conv1'\]\.weight\.bits is 33"),
    (('layers', 'conv1', 'weight', 'bits'), 4.5, 'bits is 4.5'),
    (('layers', 'conv1', 'weight', 'd'), [0.1, 0.2], 'd is .2 numbers'),
    (('layers', 'conv1', 'weight', 'd'), [-1.0], 'positive'),
    (('layers', 'conv1', 'weight', 'd'), [9.0], r'conv1\.weight: d is \[9\.0\]'),
    (('layers', 'conv1', 'weight', 'scheme'), 'int', "scheme is 'int'"),
    (('layers', 'conv1', 'weight', 'container'), 'int64', "container is 'int64'"),
    (('layers', 'conv1', 'weight', 'parameter'), 'kernel', "parameter is 'kernel'"),
    (('layers', 'conv1', 'type'), 'Conv3d', "type is 'Conv3d'"),
    (('layers', 'conv1', 'activations'), {'output': None}, r"activations\['output'\] is None"),
    (('layers', 'gau', 'activations', 'key', 'zero_point'), 3, r'gau\.key: zero_point is 3'),
    (('layers', 'gau', 'activations', 'key', 'state', 'zero_ratio'), None, 'list of one number'),
    (('layers', 'conv1', 'weight', 't'), 'one', "t is 'one'"),
    (('float_layers', 'conv2'), 'why', "float_layers names 'conv2'"),
    (('structure',), 'abc', 'other channels'),
])
def test_bad_files_are_refused_by_key_and_value(tmp_path, path, value, message):
    model, infos = trained()
    spec = quant_spec(model, infos)
    node = spec
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    file = tmp_path / 'quant.json'
    file.write_text(json.dumps(spec))
    twin = float_twin(model)
    with pytest.raises(QuantFileError, match=message):
        apply_quant(twin, load_quant(file))
    assert not any(isinstance(m, QuantLayer) for m in twin.modules())


def test_layers_missing_on_either_side_and_wrong_channels(tmp_path):
    model, infos = trained(weight_granularity='channel')
    spec = quant_spec(model, infos)
    extra = copy.deepcopy(spec)
    extra['layers']['conv2'] = extra['layers']['conv1']
    with pytest.raises(QuantFileError, match=r"'conv2'.*did you mean"):
        apply_quant(float_twin(model), extra)
    lacking = copy.deepcopy(spec)
    del lacking['layers']['up']
    with pytest.raises(QuantFileError, match="layer 'up' of the model is in neither"):
        apply_quant(float_twin(model), lacking)
    narrow = float_twin(model)
    narrow.conv10 = nn.Conv2d(8, 4, 3, padding=1)
    with pytest.raises(QuantFileError, match=r"'conv10'.*8 numbers.*4 numbers"):
        apply_quant(narrow, spec)


@pytest.mark.parametrize(('text', 'message'), [
    (None, 'does not exist'), ('{', 'not valid JSON'), ('[]', 'must be a mapping')])
def test_unreadable_files(tmp_path, text, message):
    path = tmp_path / 'quant.json'
    if text is not None:
        path.write_text(text)
    with pytest.raises(QuantFileError, match=message):
        load_quant(path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_only_typed_errors_escape_from_damaged_files(data):
    spec = quant_spec(_MODEL, _INFOS)
    node = spec
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(node[key], (dict, list)) and node[key] and data.draw(st.booleans()):
            node = node[key]
            continue
        node[key] = data.draw(st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3),
            st.lists(st.integers(), max_size=2), st.just({})))
        break
    twin = float_twin(_MODEL)
    try:
        apply_quant(twin, spec)
    except QuantFileError:
        assert not any(isinstance(m, QuantLayer) for m in twin.modules())


_MODEL, _INFOS = trained(float_layers={'up': 'stays'})
