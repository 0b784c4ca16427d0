"""RTMPose's gated attention unit under quantization."""
from __future__ import annotations

import torch
from mmpose.models.utils.rtmcc_block import RTMCCBlock

from razor_ext.pose import QuantRTMCCBlock
from razor_ext.quantization import QuantConfig, calibrate, float_mode, quantize_model


def test_both_products_of_the_attention_are_quantized() -> None:
    torch.manual_seed(0)
    block = RTMCCBlock(5, 16, 16, s=8, expansion_factor=2, drop_path=0., act_fn='SiLU',
                       use_rel_bias=False, pos_enc=False).eval()
    x = torch.randn(2, 5, 16)
    expected = block(x)
    quantize_model(block, QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8)))
    assert isinstance(block, QuantRTMCCBlock)
    calibrate(block, [x])
    with float_mode(block):
        torch.testing.assert_close(block(x), expected)
    quantized = block(x)
    error = (quantized - expected).abs().max() / expected.abs().max()
    assert 0 < error < 0.05
