"""Transformers of full size, random weights: which of their products ONNX Runtime runs on integers.

Slow; the same with small models is in test_attention.py.
"""
from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from razor_ext.deploy.integers.audit import audit
from razor_ext.deploy.integers.layer_parity import compare_layers, require_layers
from razor_ext.deploy.parity import flatten_outputs
from razor_ext.deploy.session import run_onnx
from razor_ext.quantization import count_costs, summarize_costs
from tests.graph.graph_zoo import ViTPose, timm_model, torchvision_or_names

from .test_attention import products, quantized, to_integers

pytestmark = pytest.mark.slow


def deit_tiny() -> nn.Module:
    with torchvision_or_names():
        from mmpretrain.models import VisionTransformer
        return VisionTransformer('deit-tiny', img_size=224)


def pvt_tiny() -> nn.Module:
    from mmpose.models.backbones import PyramidVisionTransformer
    return PyramidVisionTransformer(num_layers=[2, 2, 2, 2])


#: Model, input and its products of activations.
MODELS = {
    'DeiT-tiny (mmpretrain)': (deit_tiny, (224, 224), 24),
    'DeiT-tiny (timm)': (lambda: timm_model('deit_tiny_patch16_224'), (224, 224), 24),
    'ViTPose-S (timm, mmpose)': (ViTPose, (256, 192), 24),
    'PVT-tiny (mmpose)': (pvt_tiny, (224, 224), 16)}


@pytest.mark.upstream
@pytest.mark.parametrize('dynamic', [False, True], ids=['static', 'dynamic'])
@pytest.mark.parametrize('name', MODELS)
def test_a_transformer_of_full_size_runs_on_integers(name: str, dynamic: bool) -> None:
    build, size, expected = MODELS[name]
    torch.manual_seed(0)
    plain = build()
    plain.eval()
    for parameter in plain.parameters():  # what initialises to nothing would hide errors
        if parameter.dim() > 1:
            nn.init.trunc_normal_(parameter, std=0.05)
    x = torch.randn(1, 3, *size)
    model = quantized(plain, x)
    before, after = (summarize_costs(count_costs(each, x)) for each in (plain, model))
    exported = to_integers(plain, model, x, dynamic, 17)
    kernels = audit(exported.model, exported.integer)
    rows = compare_layers(exported, model, [{'input': x.numpy()}])
    _, (got,) = run_onnx(exported.model.SerializeToString(), [x])
    with torch.no_grad():
        wanted = flatten_outputs(model(x))
    error = max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(got, wanted))
    print(f'{name}: {len(products(exported))} products on integers, float layers '
          f'{exported.floating}, kernels {kernels}, relative BOPs {after["relative_bops"]:.4f}, '
          f'GMACs {before["macs"] / 1e9:.3f}, output error {error:.4f}')
    require_layers(rows)
    assert not exported.floating and 'MatMul' not in kernels and 'Gemm' not in kernels
    assert len(products(exported)) == expected
    assert after['macs'] == before['macs']
    assert error < 0.35
