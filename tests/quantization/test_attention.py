"""Products of activations: values against a slow reference, gradients, what is found and kept."""
from __future__ import annotations

import copy
import io
import math

import pytest
import torch
import torch.nn.functional as F
from attention_nets import ATTENTIONS, GPT, Explicit, Fused, Packed, transformer
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from razor_ext.quantization import (
    QuantConfig,
    QuantConfigError,
    QuantFileError,
    apply_quant,
    calibrate,
    count_costs,
    find_products,
    fix_bits,
    float_mode,
    quant_spec,
    quantize_model,
    quantizer_handles,
    remove_quantizers,
    summarize_costs,
)
from razor_ext.quantization.products import attend

FOUR = QuantConfig(weight_bits=(4, 4), activation_bits=(4, 4), weight_power=False)


def ready(model: nn.Module, *batches: Tensor, config: QuantConfig = FOUR) -> nn.Module:
    quantize_model(model, config, find_products(model, batches[0]))
    calibrate(model, batches)
    return model.eval()


def on_grid(x: Tensor, quantizer: nn.Module) -> Tensor:
    """The nearest value of a grid, by trying every one in float64.

    Equal scores give softmax a value half way between two; rounding decides which of them it is.
    """
    d, z = quantizer.d.double(), quantizer.zero_point.double()
    levels = round((quantizer.q_m.double() / d).item())
    ends = (-levels, levels) if quantizer.scheme == 'signed' else (-z.item(), levels - z.item())
    grid = torch.arange(ends[0], ends[1] + 1, dtype=torch.float64) * d
    distances = (x.double()[..., None] - grid).abs()
    nearest = distances.topk(2, dim=-1, largest=False).values
    assume(bool((nearest[..., 1] - nearest[..., 0] > 1e-9 * d).all()))
    return grid[distances.argmin(-1)]


def slow_attention(q: Tensor, k: Tensor, v: Tensor, grids: list, hidden: Tensor, scale: float
                   ) -> Tensor:
    """Fake-quantized attention, a query at a time; `hidden` is what may not be seen [L, S]."""
    q, k, v = (on_grid(x, grid) for x, grid in zip((q, k, v), (grids[0], grids[1], grids[3])))
    out = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=torch.float64)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for i in range(q.shape[2]):
                seen = [j for j in range(k.shape[2]) if not hidden[i, j]]
                scores = torch.stack([(q[b, h, i] * k[b, h, j]).sum() * scale for j in seen])
                weights = on_grid(scores.softmax(0), grids[2])
                for w, j in zip(weights, seen):
                    out[b, h, i] += w * v[b, h, j]
    return out


class Bare(nn.Module):
    """PyTorch's attention alone."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None,
                is_causal: bool = False, scale: float | None = None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal, scale=scale)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), queries=st.integers(1, 4), keys=st.integers(1, 5),
       mask=st.sampled_from(['none', 'causal', 'bool', 'float']),
       scheme=st.sampled_from(['auto', 'signed', 'affine']), bits=st.integers(2, 8),
       scale=st.sampled_from([None, 0.3]))
def test_attention_is_that_of_a_slow_reference(seed, queries, keys, mask, scheme, bits, scale):
    torch.manual_seed(seed)
    q, k, v = (torch.randn(2, 2, n, 4, dtype=torch.float64) for n in (queries, keys, keys))
    hidden = torch.zeros(queries, keys, dtype=torch.bool)
    arguments = {}
    if mask == 'causal':
        hidden = torch.ones(queries, keys, dtype=torch.bool).triu(1)
        arguments['is_causal'] = True
    elif mask != 'none':
        hidden = torch.rand(queries, keys) > 0.5
        hidden[:, 0] = False
        arguments['mask'] = ~hidden if mask == 'bool' else torch.zeros(
            queries, keys, dtype=torch.float64).masked_fill(hidden, -math.inf)
    inputs = {'q': q, 'k': k, 'v': v, 'scale': scale, **arguments}
    model = Bare()
    plain = model(**inputs)
    quantize_model(model, QuantConfig(weight_bits=None, activation_bits=(bits, bits),
                                      activation_scheme=scheme), {'': 2})
    model.double()
    with float_mode(model):
        torch.testing.assert_close(model(**inputs), plain)
    calibrate(model, [inputs])
    grids = [model.get_submodule(f'{name}_quantizer') for name in model.operands]
    # Anything on a grid is there already, but values half way between two may fall to either.
    wanted = slow_attention(q, k, v, grids, hidden, scale or 0.5)
    torch.testing.assert_close(model(**inputs), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_every_attention_is_found_quantized_and_given_back(attention):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 16)
    model = transformer(attention, 1)
    plain = copy.deepcopy(model).eval()
    expected = plain(x)
    ready(model, x)
    with float_mode(model):
        torch.testing.assert_close(model(x), expected)
    names = {handle.name for handle in quantizer_handles(model)}
    owner = '0.attn.attn' if 'packed' in attention else '0.attn'
    operands = (('query', 'key', 'weights', 'value') if 'packed' in attention
                else ('left0', 'right0', 'left1', 'right1'))
    assert {f'{owner}.{operand}_quantizer' for operand in operands} <= names
    assert (model(x) - expected).abs().max() > 1e-3
    dense, quantized = (summarize_costs(count_costs(m, x)) for m in (plain, model))
    assert quantized['macs'] == dense['macs'] and quantized['params'] == dense['params']
    fix_bits(model)
    assert summarize_costs(count_costs(model, x))['relative_bops'] == 4 * 4 / 1024
    twin = copy.deepcopy(model)
    torch.testing.assert_close(twin(x), model(x), rtol=0, atol=0)
    traced = torch.jit.trace(model, x, check_trace=False)
    torch.testing.assert_close(traced(x), model(x))
    remove_quantizers(model)
    torch.testing.assert_close(model(x), expected)
    assert model.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize('attention', ['explicit', 'fused', 'packed', 'packed, three inputs'])
def test_gradients_are_those_of_quantizers_around_plain_products(attention):
    """Straight-through gradients of every operand's grid, from a forward written out by hand."""
    torch.manual_seed(0)
    model = ATTENTIONS[attention]().double()
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    ready(model, x, config=QuantConfig(weight_bits=None, activation_bits=(4, 4)))
    packed = isinstance(model, Packed)
    layer = model.attn if packed else model
    grids = [layer.get_submodule(f'{name}_quantizer') for name in layer.product_operands()]
    twin = copy.deepcopy(model)
    model.train()(x).square().sum().backward()
    layer = twin.attn if packed else twin
    grids = [layer.get_submodule(f'{name}_quantizer') for name in layer.product_operands()]
    if packed:
        others = (x, x, x) if attention == 'packed' else (x, x + 0.1, x.flip(1))
        q, k, v = (F.linear(layer.input_quantizer(each), w, b).unflatten(-1, (4, 4)).transpose(1, 2)
                   for each, w, b in zip(others, layer.in_proj_weight.chunk(3),
                                         layer.in_proj_bias.chunk(3)))
    else:
        q, k, v = layer.split(x)
    factor, after = (layer.scale, 1) if attention == 'explicit' else (1, 0.5)
    scores = (grids[0](q * factor) @ grids[1](k.transpose(-2, -1))) * after
    if attention == 'fused':
        scores = scores.masked_fill(torch.ones(5, 5, dtype=torch.bool).triu(1), -math.inf)
    out = (grids[2](scores.softmax(-1)) @ grids[3](v)).transpose(1, 2).flatten(2)
    (layer.out_proj if packed else layer.proj)(out).square().sum().backward()
    for (name, one), (_, other) in zip(model.named_parameters(), twin.named_parameters()):
        assert one.grad is not None and other.grad is not None, name
        torch.testing.assert_close(one.grad, other.grad, msg=name)


def test_dropout_leaves_the_grid_of_the_softmax():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 4, 8)
    seen = []

    def multiply(left: Tensor, right: Tensor) -> Tensor:
        seen.append(left)
        return left @ right

    dropped = [attend(multiply, q, k, v, dropout_p=0.5)[0] for _ in range(2000)]
    weights = torch.stack(seen[1::2])
    assert weights.max() <= 1 and 0.4 < (weights == 0).float().mean() < 0.6
    torch.testing.assert_close(torch.stack(dropped).mean(0), attend(multiply, q, k, v)[0],
                               atol=0.1, rtol=0)


@pytest.mark.parametrize('batch_first', [True, False])
@pytest.mark.parametrize('batched', [True, False])
@pytest.mark.parametrize('masks', ['none', 'bool', 'float', 'causal'])
def test_multi_head_attention_keeps_every_option(batch_first, batched, masks):
    torch.manual_seed(0)
    plain = nn.MultiheadAttention(8, 2, bias=masks != 'bool', batch_first=batch_first).eval()
    q, k = torch.randn(3, 4, 8), torch.randn(3, 6, 8)
    hidden, padding = torch.rand(4, 6) > 0.7, torch.arange(6) > torch.tensor([[5], [3], [4]])
    hidden[:, 0] = False
    if masks == 'causal':
        k, hidden, padding = q, torch.ones(4, 4, dtype=torch.bool).triu(1), padding[:, :4]
    options = {'none': {}, 'bool': dict(attn_mask=hidden, key_padding_mask=padding),
               'float': dict(attn_mask=torch.randn(6, 4, 6), key_padding_mask=padding.float()),
               'causal': dict(attn_mask=hidden, is_causal=True)}[masks]
    if not batched:
        q, k = q[0], k[0]
        options = {key: value if key != 'key_padding_mask' else value[0]
                   for key, value in options.items()}
        if masks == 'float':
            options['attn_mask'] = options['attn_mask'][:2]
    elif not batch_first:
        q, k = q.transpose(0, 1), k.transpose(0, 1)
    model = nn.Sequential(copy.deepcopy(plain))
    quantize_model(model, QuantConfig())
    with float_mode(model):
        for wanted in (dict(), dict(need_weights=False), dict(average_attn_weights=False)):
            for got, expected in zip(model[0](q, k, k, **options, **wanted),
                                     plain(q, k, k, **options, **wanted)):
                assert (got is None) == (expected is None)
                if got is not None:
                    torch.testing.assert_close(got, expected)


def test_a_model_that_multiplies_around_others_that_do():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.table = Explicit(), nn.Parameter(torch.randn(16, 16))

        def forward(self, x: Tensor) -> Tensor:
            y = self.inner(x @ self.table.t())
            return torch.bmm(y, mat2=x.transpose(1, 2))

    model, x = nn.Sequential(Outer()), torch.randn(2, 5, 16)
    assert find_products(model, x) == {'0': 1, '0.inner': 2}
    ready(model, x)
    costs = {cost.name: cost.products for cost in count_costs(model, x)}
    # The raw product with a parameter stays float.
    assert [sides for _, *sides in costs['0']] == [[None, None], ['left0', 'right0']]
    model = nn.Sequential(Outer())
    found = find_products(model, x)
    quantize_model(model, QuantConfig(float_layers={'0.inner': 'to be seen'}), found)
    with pytest.raises(RuntimeError, match=r'more activations.*float_layers'):
        calibrate(model, [x])


def test_what_find_products_says_and_leaves():
    class Sometimes(nn.Module):
        def forward(self, x: Tensor, twice: bool) -> Tensor:
            return (x @ x) @ x if twice else x @ x

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.attn = nn.Linear(4, 4), Sometimes()
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.attn(self.attn(self.drop(self.linear(x)), True), False)

    model, x = Model(), torch.randn(2, 4, 4)
    state = torch.get_rng_state()
    found = find_products(model, x)
    assert found == {'attn': 0} and torch.equal(torch.get_rng_state(), state)
    assert model.training and not model.attn._forward_hooks and not model.attn._forward_pre_hooks
    infos = {info.name: info.reason for info in quantize_model(model, QuantConfig(), found)}
    assert infos == {'linear': None, 'attn': 'its calls multiply activations differently'}


def test_options_leave_products_and_tables_float_by_name():
    config = QuantConfig(products=False, embeddings=False)
    words = torch.randint(0, 50, (2, 6))
    model = GPT()
    infos = {i.name: i.reason for i in quantize_model(model, config, find_products(model, words))}
    assert infos['blocks.0.attn'] == 'products=False' and infos['tokens'] == 'embeddings=False'
    model = nn.TransformerEncoderLayer(8, 2, 16)
    infos = {i.name: i.reason for i in quantize_model(model, config)}
    assert infos['self_attn'] == 'products=False'
    assert 'without calling' in infos['self_attn.out_proj']
    with pytest.raises(QuantConfigError, match='products=1 must be'):
        QuantConfig(products=1)


@pytest.mark.parametrize('granularity', ['tensor', 'channel'])
def test_a_table_shares_the_grid_of_the_head_it_is_tied_to(granularity):
    torch.manual_seed(0)
    words = torch.randint(0, 50, (2, 6))
    model = GPT()
    model(words).sum().backward()
    plain = copy.deepcopy(model)
    infos = quantize_model(model, QuantConfig(
        weight_bits=(4, 4), activation_bits=(8, 8), weight_granularity=granularity),
        find_products(model, words))
    calibrate(model, [words])
    assert model.tokens.weight_quantizer is model.head.weight_quantizer
    values = model.tokens(words)
    torch.testing.assert_close(values, model.tokens.quantize_weight()[words])
    assert len(values[0, 0].unique()) <= 15
    costs = {cost.name: cost for cost in count_costs(model, words)}
    assert costs['tokens'].bytes == 50 * 16 / 2 and costs['places'].bytes == 12 * 16 / 2
    fix_bits(model)
    rebuilt = copy.deepcopy(plain)
    apply_quant(rebuilt, quant_spec(model, infos))
    rebuilt.load_state_dict(model.state_dict())
    assert torch.equal(rebuilt(words), model(words))


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_quant_json_rebuilds_attention_without_an_input(attention):
    torch.manual_seed(0)
    x, plain = torch.randn(2, 5, 16), transformer(attention, 1)
    model = copy.deepcopy(plain)
    infos = quantize_model(model, QuantConfig(), find_products(model, x))
    calibrate(model, [x])
    fix_bits(model)
    spec = quant_spec(model, infos)
    other = copy.deepcopy(plain)
    apply_quant(other, spec)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other.eval()(x), model.eval()(x))
    owner = '0.attn.attn' if 'packed' in attention else '0.attn'
    left = spec['layers'][owner]['activations']
    del left[next(iter(left))]
    with pytest.raises(QuantFileError, match=owner):
        apply_quant(copy.deepcopy(plain), spec)


def test_files_of_version_1_leave_what_they_do_not_know_float():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 16)
    plain = nn.Sequential(transformer('packed', 1), transformer('fused', 1))
    model = copy.deepcopy(plain)
    infos = quantize_model(model, QuantConfig(products=False))
    calibrate(model, [x])
    fix_bits(model)
    spec = {**quant_spec(model, infos), 'version': 1}
    for name in ('0.0.attn.attn', '0.0.attn.attn.out_proj'):
        spec['float_layers'][name] = 'as an older package wrote it'
    other = copy.deepcopy(plain)
    apply_quant(other, spec)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.eval()(x), model.eval()(x))
    table = nn.Sequential(nn.Embedding(4, 16), nn.Linear(16, 4))
    quantize_model(table, QuantConfig(embeddings=False))
    calibrate(table, [torch.tensor([[1]])])
    fix_bits(table)
    spec = quant_spec(table)
    fresh = nn.Sequential(nn.Embedding(4, 16), nn.Linear(16, 4))
    with pytest.raises(QuantFileError, match="'0' of the model is in neither"):
        apply_quant(fresh, spec)
    reasons = {i.name: i.reason for i in apply_quant(fresh, {**spec, 'version': 1})}
    assert 'version 1' in reasons['0'] and reasons['1'] is None


@pytest.mark.parametrize('kind', [Fused, Explicit])
def test_half_precision(kind):
    torch.manual_seed(0)
    model, x = kind(), torch.randn(2, 5, 16)
    ready(model, x, config=QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8)))
    wide = model(x)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        narrow = model(x)
        narrow.float().square().mean().backward()
    assert (narrow.float() - wide).norm() < 0.1 * wide.norm()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
