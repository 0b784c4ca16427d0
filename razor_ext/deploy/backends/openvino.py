"""OpenVINO by its own converter: MMDeploy calls the Model Optimizer, which is gone."""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from ..integers.quantized import ON_GRIDS
from .base import BACKENDS
from .integer_support import IntegerSupport
from .packaged import PackagedBackend
from .runner import Runner


@BACKENDS.register_module('openvino')
class OpenVino(PackagedBackend):
    """OpenVINO on the CPU; reads 16-bit activations, but is off by several percent with them."""

    title = 'OpenVINO'
    suffix = '.xml'
    integers = IntegerSupport(ON_GRIDS, weight_bits=16, activation_bits=8)
    packages = ('openvino',)

    def config(self, shape: Sequence[int], input_name: str) -> dict[str, Any]:
        """Return MMDeploy's `backend_config`; see the base class."""
        return dict(type=self.name, model_inputs=[dict(opt_shapes={input_name: list(shape)})])

    def convert(self, onnx_file: Path, folder: Path, *, model: nn.Module | None = None,
                batch: torch.Tensor | None = None, deploy_cfg: Config | None = None,
                device: str = 'cpu') -> list[str]:
        """Write the ONNX file as .xml and .bin; needs nothing else."""
        openvino = self.package('openvino')
        xml = folder / f'{onnx_file.stem}.xml'
        openvino.save_model(openvino.convert_model(os.fspath(onnx_file)), os.fspath(xml),
                            compress_to_fp16=False)
        return [os.fspath(xml), os.fspath(xml.with_suffix('.bin'))]

    def load(self, path: str | os.PathLike) -> Runner:
        """Compile an .xml and the .bin beside it."""
        model = self.package('openvino').Core().compile_model(
            os.fspath(path), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})

        def run(batch: np.ndarray) -> list[np.ndarray]:
            result = model([batch])
            return [np.array(result[output]) for output in model.outputs]

        return run
