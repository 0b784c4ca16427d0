"""How `PositionLinear` is sliced and quantized."""
from __future__ import annotations

from razor_ext.graph import Kept, register_fixer
from razor_ext.quantization import QuantMatmul, register_quant_layer

from .models import PositionLinear


@register_fixer(PositionLinear)
def fix_position_linear(module: PositionLinear, kept: Kept) -> None:
    """The forward pass reads the number of output channels."""
    module.out_channels = module.weight.shape[2]


@register_quant_layer(PositionLinear)
class QuantPositionLinear(QuantMatmul):
    """Weight [positions, in, out]; one step size per output channel."""

    weight_channel_dim = 2
