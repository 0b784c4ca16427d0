"""Attention in ONNX Runtime: both products of every kind of attention on integers."""
from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from attention_nets import ATTENTIONS, GPT, Explicit, Fused, transformer
from torch import Tensor, nn

from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.integers.audit import audit, float_operators
from razor_ext.deploy.integers.grids import layer_grids
from razor_ext.deploy.integers.integer_layer import QdqModel
from razor_ext.deploy.integers.layer_parity import compare_layers, require_layers
from razor_ext.deploy.integers.plan_corrections import gelu_floor
from razor_ext.deploy.integers.products import record_products
from razor_ext.deploy.integers.qdq import insert_qdq
from razor_ext.deploy.integers.symmetric import check_pattern, insert_symmetric_qdq
from razor_ext.deploy.session import run_onnx
from razor_ext.quantization import (
    QuantConfig,
    calibrate,
    find_products,
    fix_bits,
    quantize_model,
)

from .test_tokens import export

EIGHT = QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8))


def quantized(plain: nn.Module, x: Tensor, config: QuantConfig = EIGHT) -> nn.Module:
    model = copy.deepcopy(plain)
    quantize_model(model, config, find_products(plain, x))
    calibrate(model, [x])
    fix_bits(model)
    model.eval()  # some return nothing
    return model


def to_integers(plain: nn.Module, model: nn.Module, x: Tensor, dynamic: bool = False,
                opset: int = 14) -> QdqModel:
    graph = export(plain, x, {'input': {0: 'batch'}} if dynamic else None, opset)
    feed = {'input': x.numpy()}
    return insert_qdq(graph, layer_grids(model), [feed],
                      record_products(model, lambda: model(x), feed))


def products(exported: QdqModel) -> list[str]:
    return [layer.match.layer.name for layer in exported.integer if layer.integers is None]


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 4, 32, 0., 'gelu', batch_first=True, norm_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False))


@pytest.mark.parametrize('dynamic', [False, True], ids=['static', 'dynamic'])
@pytest.mark.parametrize('attention', [*ATTENTIONS, 'encoder'])
def test_every_product_runs_on_integers(attention: str, dynamic: bool) -> None:
    torch.manual_seed(0)
    plain = (encoder() if attention == 'encoder' else transformer(attention, 1)).eval()
    x = torch.randn(2, 6, 16)
    model = quantized(plain, x)
    exported = to_integers(plain, model, x, dynamic)
    kernels = audit(exported.model, exported.integer)
    assert len(products(exported)) == 2 and not exported.floating
    assert 'MatMul' not in kernels and 'Gemm' not in kernels
    require_layers(compare_layers(exported, model, [{'input': x.numpy()}]))
    _, ((got,),) = run_onnx(exported.model.SerializeToString(), [x])
    with torch.no_grad():
        wanted = model(x)
    assert np.linalg.norm(got - wanted.numpy()) < 0.02 * wanted.norm()


def test_operands_are_known_by_their_values_not_by_their_order() -> None:
    """The second attention is registered first; products that stay float lie between."""
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = Explicit(), Fused()

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.second(x + torch.bmm(x, torch.bmm(x.transpose(1, 2), x)))

    torch.manual_seed(0)
    plain, x = Crossed().eval(), torch.randn(2, 6, 16)
    model = quantized(plain, x, QuantConfig(
        weight_bits=(8, 8), activation_bits=(5, 8), float_layers={'': 'to lie between'}))
    exported = to_integers(plain, model, x)
    found = {(layer.match.layer.name, layer.match.node.name.split('/')[1])
             for layer in exported.integer if layer.integers is None}
    assert found == {('first', 'first'), ('second', 'second')}
    with pytest.raises(DeployError, match=r"'second' is quantized.* multiplies its activ"):
        feed = {'input': x.numpy()}
        insert_qdq(export(plain, x, None, 14), layer_grids(model), [feed],
                   record_products(model, lambda: model(x * 2 + 1), feed))


def test_a_factor_that_the_exporter_moves_is_one_of_the_grids() -> None:
    """PyTorch's exporter scales query and key by half the factor each, the layer their product."""
    torch.manual_seed(0)
    plain, x = Fused().eval(), torch.randn(2, 6, 16)
    model = quantized(plain, x)
    query = next(layer for layer in to_integers(plain, model, x).integer if layer.integers is None)
    grid = query.match.layer.inputs[0]
    assert grid is not None
    assert grid.scale == pytest.approx(model.left0_quantizer.d.item() / 2 ** 0.5)


@pytest.mark.parametrize('bits, why', [
    ((12, 12), 'activations of more than 8 bits'), (None, 'inputs stay float')])
@pytest.mark.parametrize('attention, owner', [('packed', 'attn.attn'), ('fused', 'attn')])
def test_products_without_eight_bits_stay_float_by_name(
        attention: str, owner: str, bits: tuple[int, int] | None, why: str) -> None:
    torch.manual_seed(0)
    plain, x = transformer(attention).eval(), torch.randn(2, 6, 16)
    model = quantized(plain, x, QuantConfig(
        weight_bits=(8, 8), activation_bits=(8, 8),
        layers={f'0.{owner}': {'activation_bits': bits}}))
    exported = to_integers(plain, model, x)
    assert exported.floating == {f'0.{owner}': why}
    assert products(exported) == [f'1.{owner}'] * 2
    audit(exported.model, exported.integer)


@pytest.mark.parametrize('granularity', ['tensor', 'channel'])
def test_a_table_is_stored_in_integers(granularity: str) -> None:
    torch.manual_seed(0)
    plain, words = GPT().eval(), torch.randint(0, 50, (2, 6))
    model = quantized(plain, words, QuantConfig(
        weight_bits=(4, 4), activation_bits=(8, 8), weight_granularity=granularity,
        layers={'places': {'weight_bits': (8, 8)}}))
    exported = to_integers(plain, model, words)
    assert 'looked up' in exported.floating['tokens']
    assert 'constants' in exported.floating['places']  # those of the first six places
    audit(exported.model, exported.integer)
    assert not [item.name for item in exported.model.graph.initializer
                if list(item.dims) == [50, 16] and item.data_type == 1]
    _, ((got,),) = run_onnx(exported.model.SerializeToString(), [words])
    with torch.no_grad():
        wanted = model(words).numpy()
    assert np.linalg.norm(got - wanted) < 0.03 * np.linalg.norm(wanted)
    pairs = insert_symmetric_qdq(export(plain, words, None, 14), layer_grids(quantized(
        plain, words, QuantConfig(weight_bits=(4, 4), activation_bits=(8, 8),
                                  activation_scheme='signed'))))
    assert check_pattern(pairs)['quantized'] >= 9


class ConvGelu(nn.Module):
    """Convolutions around GELU, whose inputs reach far below zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(nn.functional.gelu(self.first(x)))


def test_gelu_between_convolutions_leaves_them_on_integers() -> None:
    torch.manual_seed(0)
    plain, x = ConvGelu().eval(), 3 * torch.randn(2, 3, 8, 8)
    model = quantized(plain, x)
    exported = to_integers(plain, model, x)
    kernels = audit(exported.model, exported.integer)
    assert kernels['QLinearConv'] == 2
    assert 'an error function' in ' '.join(float_operators(kernels).values())
    require_layers(compare_layers(exported, model, [{'input': x.numpy()}]))
    first = exported.integer[0].grid
    assert first is not None
    with torch.no_grad():
        least = plain.first(x).min().item()
        low = (first.low - first.zero_point) * first.scale
        _, ((got,),) = run_onnx(exported.model.SerializeToString(), [x])
        wanted = model(x).numpy()
    assert low > least + 0.5 and gelu_floor(model.second.input_quantizer.d.item() / 2) >= low - 0.1
    assert np.linalg.norm(got - wanted) < 0.02 * np.linalg.norm(wanted)
