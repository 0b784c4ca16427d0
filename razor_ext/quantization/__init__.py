"""Learnable quantizers, quantized layers, bit and BOP accounting, quant.json."""
