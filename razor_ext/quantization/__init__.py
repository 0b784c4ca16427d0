"""Learnable quantizers, quantized layers, bit and BOP accounting, quant.json.

    from razor_ext.quantization import QuantConfig, calibrate, quantize_model

    infos = quantize_model(model, QuantConfig(weight_bits=(4, 8), activation_bits=(4, 8)))
    calibrate(model, batches)          # real inputs, weights already loaded
    ...                                # train; then
    round_bits(model)
    save_quant('quant.json', model, infos)
"""
from . import functional
from .calibration import calibrate
from .config import LayerConfig, QuantConfig
from .convert import (
    QuantizedLayerInfo,
    QuantizerHandle,
    bit_table,
    float_mode,
    quantize_model,
    quantized_layers,
    quantizer_handles,
    remove_quantizers,
    round_bits,
    scale_followers,
)
from .errors import CalibrationError, QuantConfigError, QuantFileError
from .layers import QUANT_LAYERS, QuantLayer, QuantMatmul, register_quant_layer
from .quantizer import Quantizer

__all__ = [
    'QUANT_LAYERS', 'CalibrationError', 'LayerConfig', 'QuantConfig', 'QuantConfigError',
    'QuantFileError', 'QuantLayer', 'QuantMatmul', 'QuantizedLayerInfo', 'Quantizer',
    'QuantizerHandle', 'bit_table', 'calibrate', 'float_mode', 'functional', 'quantize_model',
    'quantized_layers', 'quantizer_handles', 'register_quant_layer', 'remove_quantizers',
    'round_bits', 'scale_followers',
]
