"""Layers that do not train, which pruning leaves whole: no gradient says what they are worth."""
from __future__ import annotations

from torch import nn

from razor_ext.quantization import QUANT_LAYERS


def frozen_weights(model: nn.Module) -> list[str]:
    """Return the names of the weights of layers that `requires_grad_(False)` holds.

    Norms, biases and bare parameters (tables of positions) are left out: the layers around them
    train, and have scores of their own.

    Args:
        model: float or quantized.
    """
    names = []
    for name, module in model.named_modules():
        for base in type(module).__mro__:
            layer = QUANT_LAYERS.get(base)
            weight = None if layer is None or layer.weight_name is None else getattr(
                module, layer.weight_name, None)
            if isinstance(weight, nn.Parameter) and layer is not None:
                if not weight.requires_grad:
                    names.append(f'{name}.{layer.weight_name}' if name else str(layer.weight_name))
                break
    return names
