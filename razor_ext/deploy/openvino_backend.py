"""OpenVINO by its own converter: MMDeploy calls the Model Optimizer, which is gone."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmdeploy.backend.base import BaseWrapper
from torch import nn

from .errors import DeployError


def _import_openvino():
    try:
        import openvino
    except ImportError as error:
        raise DeployError('OpenVINO is not installed: pip install openvino') from error
    return openvino


def convert(onnx_file: Path, folder: Path, model: nn.Module | None = None,
            batch: torch.Tensor | None = None) -> list[str]:
    """Write the model as OpenVINO's .xml and .bin, in full precision.

    Args:
        onnx_file: Exported file.
        folder: Where to write.
        model: Not needed.
        batch: Not needed.

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


class Wrapper(BaseWrapper):
    """What MMDeploy's backend models call; its own wrapper needs an interface that is gone.

    Args:
        xml: File written by :func:`convert`.
        output_names: Outputs in order.
    """

    def __init__(self, xml: str | os.PathLike, output_names: Sequence[str]) -> None:
        super().__init__(output_names)
        self._model = _compile(xml)

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Run a model of one input."""
        (batch,) = inputs.values()
        result = self._model([batch.cpu().numpy()])
        return {name: torch.from_numpy(np.array(result[output]))
                for name, output in zip(self.output_names, self._model.outputs)}


def run(xml: str | os.PathLike, inputs: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Run a model of one input on the CPU, in float32 where it is not on integers.

    Args:
        xml: File written by :func:`convert`.
        inputs: Batches.

    Returns:
        Per batch, the outputs in order.
    """
    model = _compile(xml)
    return [[np.array(result[output]) for output in model.outputs]
            for result in (model([batch]) for batch in inputs)]


def _compile(xml: str | os.PathLike):
    return _import_openvino().Core().compile_model(os.fspath(xml), 'CPU',
                                                   {'INFERENCE_PRECISION_HINT': 'f32'})
