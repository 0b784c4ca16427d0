"""How gait models are quantized: the per-part matrices here, their convolutions as everywhere."""
from __future__ import annotations

from torch import nn

from razor_ext.quantization import QuantLayer, QuantMatmul, register_quant_layer

from .models.layers import GeMPooling, PartLinear


@register_quant_layer(PartLinear)
class QuantPartLinear(QuantMatmul):
    """Per-part matrices ``[p, i, o]``; steps per channel are those of o, shared by the parts."""

    weight_channel_dim = 2

    @classmethod
    def refuse(cls, module: nn.Module) -> str | None:
        """Refuse the cosine classifier, whose columns are divided by their norms before use."""
        if module.normalize:
            return ('normalize=True multiplies by unit columns, not by the stored weight; it only '
                    'serves training and is not deployed')
        return None


@register_quant_layer(GeMPooling)
class QuantGeMPooling(QuantLayer):
    """Generalised-mean pooling: it stays float, and says so."""

    @classmethod
    def refuse(cls, module: nn.Module) -> str | None:
        """Refuse: x ** p of a learnt real p has no integer form."""
        return 'a learnt power of its input has no integer form'
