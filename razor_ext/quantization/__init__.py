"""Learnable quantizers, quantized layers, bit and BOP accounting, quant.json.

    from razor_ext.quantization import QuantConfig, calibrate, quantize_model

    infos = quantize_model(model, QuantConfig(weight_bits=(4, 8), activation_bits=(4, 8)))
    calibrate(model, batches)          # real inputs, weights already loaded
    ...                                # train; then
    fix_bits(model)
    save_quant('quant.json', model, infos)
"""
from . import attention, functional, mmcv_layers
from .accounting import LayerCost, count_costs, summarize_costs
from .calibration import calibrate
from .config import LayerConfig, QuantConfig
from .convert import (
    QuantizedLayerInfo,
    QuantizerHandle,
    bit_table,
    fix_bits,
    float_mode,
    quantize_model,
    quantized_layers,
    quantizer_handles,
    remove_quantizers,
    scale_followers,
)
from .discovery import find_products
from .errors import CalibrationError, QuantConfigError, QuantFileError
from .hooks import CalibrationHook
from .layers import QUANT_LAYERS, QuantLayer, register_quant_layer
from .param_groups import split_scales
from .products import QuantMatmul
from .quantizer import Quantizer
from .recipe import integer_weights, quant_spec, save_quant, slice_spec, structure_hash
from .recipe_reader import apply_quant, check_spec, load_quant

__all__ = [
    'QUANT_LAYERS', 'CalibrationError', 'CalibrationHook', 'LayerConfig', 'LayerCost',
    'QuantConfig', 'QuantConfigError', 'QuantFileError', 'QuantLayer', 'QuantMatmul',
    'QuantizedLayerInfo', 'Quantizer', 'QuantizerHandle', 'apply_quant', 'attention', 'bit_table',
    'calibrate', 'check_spec', 'count_costs', 'find_products', 'fix_bits', 'float_mode',
    'functional', 'integer_weights', 'load_quant', 'mmcv_layers', 'quant_spec', 'quantize_model',
    'quantized_layers', 'quantizer_handles', 'register_quant_layer', 'remove_quantizers',
    'save_quant', 'scale_followers', 'slice_spec', 'split_scales', 'structure_hash',
    'summarize_costs',
]
