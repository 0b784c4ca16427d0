"""What of mmpretrain's layers stays float, and why."""
from __future__ import annotations

from mmpretrain.models.backbones import (
    DistilledVisionTransformer,
    SwinTransformer,
    VisionTransformer,
)
from torch import nn

from razor_ext.quantization import QuantLayer, register_quant_layer


@register_quant_layer(VisionTransformer, DistilledVisionTransformer, SwinTransformer)
class QuantTokens(QuantLayer):
    """Backbones with parameters of their own, which are no layer: their layers are quantized."""

    weight_name = None
    operands = ()

    @classmethod
    def refuse(cls, module: nn.Module) -> str | None:
        """Refuse: nothing is multiplied."""
        return 'position embeddings and class tokens are added, not multiplied'
