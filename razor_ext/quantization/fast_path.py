"""PyTorch's fast path of transformer encoders, which must not run over quantized layers."""
from __future__ import annotations

from torch import nn

from .layers import QuantLayer


def disable_fast_path(model: nn.Module) -> list[str]:
    """Make transformer encoders call their quantized layers in eval mode as well.

    Without gradients `nn.TransformerEncoderLayer` hands its weights to one fused operator, and
    `nn.TransformerEncoder` packs padded batches for it: neither calls the layers, so their
    quantizers are passed by. The fast path stays off after `remove_quantizers`; it changes the
    speed alone.

    Args:
        model: model with quantized layers, changed in place.

    Returns:
        Names of the encoders and encoder layers changed.
    """
    changed = []
    for name, module in model.named_modules():
        if not isinstance(module, (nn.TransformerEncoder, nn.TransformerEncoderLayer)) or not any(
                isinstance(child, QuantLayer) for child in module.modules()):
            continue
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0
        else:
            module.enable_nested_tensor = module.use_nested_tensor = False
        changed.append(name)
    return changed
