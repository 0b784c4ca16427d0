"""Attention in ONNX Runtime: both products of every kind of attention on integers."""
from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from attention_nets import ATTENTIONS, transformer
from torch import Tensor, nn

from razor_ext.deploy.integers.audit import audit
from razor_ext.deploy.integers.grids import layer_grids
from razor_ext.deploy.integers.integer_layer import QdqModel
from razor_ext.deploy.integers.layer_parity import compare_layers, require_layers
from razor_ext.deploy.integers.products import record_products
from razor_ext.deploy.integers.qdq import insert_qdq
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
    return model.eval()


def to_integers(plain: nn.Module, model: nn.Module, x: Tensor, dynamic: bool = False,
                opset: int = 14) -> QdqModel:
    graph = export(plain, x, {'input': {0: 'batch'}} if dynamic else None, opset)
    feed = {'input': x.numpy()}
    return insert_qdq(graph, layer_grids(model), [feed],
                      record_products(model, lambda: model(x), feed))


def products(exported: QdqModel) -> list[str]:
    return [layer.match.layer.name for layer in exported.integer if layer.integers is None]


@pytest.mark.parametrize('dynamic', [False, True], ids=['static', 'dynamic'])
@pytest.mark.parametrize('attention', ATTENTIONS)
def test_every_product_runs_on_integers(attention: str, dynamic: bool) -> None:
    torch.manual_seed(0)
    plain, x = transformer(attention).eval(), torch.randn(2, 6, 16)
    model = quantized(plain, x)
    exported = to_integers(plain, model, x, dynamic)
    kernels = audit(exported.model, exported.integer)
    assert len(products(exported)) == 4 and not exported.floating
    assert 'MatMul' not in kernels and 'Gemm' not in kernels
    require_layers(compare_layers(exported, model, [{'input': x.numpy()}]))
    _, ((got,),) = run_onnx(exported.model.SerializeToString(), [x])
    with torch.no_grad():
        wanted = model(x)
    assert np.abs(got - wanted.numpy()).max() < 0.02 * wanted.abs().max()
