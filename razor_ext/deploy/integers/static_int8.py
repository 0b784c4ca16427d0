"""ONNX Runtime's own static int8, as the baseline: ranges from calibration, nothing trained."""
from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process


class _Reader(CalibrationDataReader):
    def __init__(self, batches: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self._batches, None)


def quantize_post_training(source: onnx.ModelProto, target: str | os.PathLike,
                           batches: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Write a static int8 version of a float graph, weights per channel, all operators.

    Args:
        source: Float graph.
        target: File to write.
        batches: Calibration inputs by name.

    Raises:
        ValueError: If there is no calibration input.
    """
    if not batches:
        raise ValueError('static int8 needs calibration inputs')
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # advice of the library to preprocess, which is done here
    try:
        with tempfile.TemporaryDirectory() as folder:
            floats, prepared = Path(folder, 'floats.onnx'), Path(folder, 'prepared.onnx')
            onnx.save(source, floats)
            quant_pre_process(os.fspath(floats), os.fspath(prepared), skip_symbolic_shape=True)
            quantize_static(
                os.fspath(prepared), os.fspath(target), _Reader(batches),
                quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax)
    finally:
        logger.setLevel(level)
