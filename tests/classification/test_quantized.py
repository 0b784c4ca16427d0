"""What of a transformer is quantized, and the reason that is given for the rest."""
from __future__ import annotations

import pytest
from mmengine.registry import MODELS, init_default_scope

from razor_ext.quantization import QuantConfig, quantize_model

ARCH = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16)


@pytest.mark.parametrize('backbone', ['VisionTransformer', 'DistilledVisionTransformer'])
def test_every_linear_layer_is_quantized_and_embeddings_are_named(backbone):
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(type=backbone, arch=ARCH, img_size=16, patch_size=8))
    infos = quantize_model(model, QuantConfig())
    left = {info.name: info.reason for info in infos if info.reason is not None}
    assert left == {'': 'position embeddings and class tokens are added, not multiplied'}
    quantized = {info.name for info in infos} - set(left)
    assert quantized == {'patch_embed.projection', *(f'layers.0.{name}' for name in (
        'attn.qkv', 'attn.proj', 'ffn.layers.0.0', 'ffn.layers.1'))}
