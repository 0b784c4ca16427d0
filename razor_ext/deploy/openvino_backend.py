"""OpenVINO by its own converter: MMDeploy calls the Model Optimizer, which is gone."""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .errors import DeployError


def _import_openvino():
    try:
        import openvino
    except ImportError as error:
        raise DeployError('OpenVINO is not installed: pip install openvino') from error
    return openvino


def convert(onnx_file: Path, folder: Path) -> list[str]:
    """Write the model as OpenVINO's .xml and .bin, in full precision.

    Args:
        onnx_file: Exported file.
        folder: Where to write.

    Returns:
        Both paths.

    Raises:
        DeployError: If OpenVINO is not installed.
    """
    openvino = _import_openvino()
    xml = folder / f'{onnx_file.stem}.xml'
    openvino.save_model(openvino.convert_model(os.fspath(onnx_file)), os.fspath(xml),
                        compress_to_fp16=False)
    return [os.fspath(xml), os.fspath(xml.with_suffix('.bin'))]


def run(xml: str | os.PathLike, inputs: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Run a model of one input on the CPU, in float32 where it is not on integers.

    Args:
        xml: File written by :func:`convert`.
        inputs: Batches.

    Returns:
        Per batch, the outputs in order.
    """
    openvino = _import_openvino()
    model = openvino.Core().compile_model(os.fspath(xml), 'CPU',
                                          {'INFERENCE_PRECISION_HINT': 'f32'})
    return [[np.array(result[output]) for output in model.outputs]
            for result in (model([batch]) for batch in inputs)]
