"""What can go wrong with quantization; every message names the layer or key and what to do."""
from __future__ import annotations


class QuantConfigError(ValueError):
    """A quantization setting that is out of range, unknown, or names no layer of the model."""


class CalibrationError(RuntimeError):
    """A quantizer that is used before calibration, or that calibration could not set."""


class QuantFileError(ValueError):
    """A quant.json that cannot be written or used."""
