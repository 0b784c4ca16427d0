"""How the gated attention unit of RTMPose is quantized."""
from __future__ import annotations

from mmpose.models.utils.rtmcc_block import RTMCCBlock

from razor_ext.quantization import QuantMatmul, register_quant_layer


@register_quant_layer(RTMCCBlock)
class QuantRTMCCBlock(QuantMatmul):
    """RTMPose's gated attention unit: the operands of its two products are quantized.

    Its linear layers are layers of their own; gamma, beta and the scales stay float.
    """
    weight_name = None
    operands = ('query', 'key', 'kernel', 'value')
