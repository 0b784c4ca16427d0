"""ncnn by its own converter, pnnx: MMDeploy's converter has to be compiled from source."""
from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from ..errors import DeployError
from .base import BACKENDS
from .packaged import PackagedBackend
from .runner import Runner


@BACKENDS.register_module('ncnn')
class Ncnn(PackagedBackend):
    """ncnn on the CPU, in float32."""

    suffix = '.param'
    why_no_integers = 'its converter reads no QuantizeLinear, it calibrates by its own tools'
    rewrites_graph = False  # pnnx reads the torch model
    packages = ('ncnn', 'pnnx')

    def config(self, shape: Sequence[int], input_name: str) -> dict[str, Any]:
        """Return MMDeploy's `backend_config`; see the base class."""
        return dict(type=self.name, precision='FP32', use_vulkan=False)

    def convert(self, onnx_file: Path, folder: Path, *, model: nn.Module | None = None,
                batch: torch.Tensor | None = None, deploy_cfg: Config | None = None,
                device: str = 'cpu') -> list[str]:
        """Write the torch model as .param and .bin, for batches of 1 of the size of `batch`."""
        if model is None or batch is None:
            raise DeployError('ncnn converts the torch model, not an ONNX file: give model and '
                              'batch')
        self.require_installed()
        shape = ','.join(map(str, batch[:1].shape))
        with tempfile.TemporaryDirectory() as scratch:
            traced = Path(scratch, 'model.pt')
            with torch.no_grad():
                torch.jit.trace(_Tensors(model), batch[:1]).save(os.fspath(traced))
            done = subprocess.run(
                [self.package('pnnx').EXEC_PATH, os.fspath(traced), f'inputshape=[{shape}]',
                 'fp16=0'], cwd=scratch, capture_output=True, text=True, check=False)
            made = [Path(scratch, f'model.ncnn.{kind}') for kind in ('param', 'bin')]
            if done.returncode or not all(path.is_file() for path in made):
                raise DeployError(f'pnnx cannot convert the model: {done.stderr.strip()[-500:]}')
            files = [folder / f'{onnx_file.stem}{path.suffix}' for path in made]
            for path, file in zip(made, files):
                file.write_bytes(path.read_bytes())
        return [os.fspath(file) for file in files]

    def load(self, path: str | os.PathLike) -> Runner:
        """Load a .param and the .bin beside it; batches run sample by sample."""
        ncnn = self.package('ncnn')
        net = ncnn.Net()
        for option in ('use_fp16_packed', 'use_fp16_storage', 'use_fp16_arithmetic',
                       'use_bf16_storage'):
            setattr(net.opt, option, False)
        weights = os.fspath(Path(path).with_suffix('.bin'))
        if net.load_param(os.fspath(path)) or net.load_model(weights):
            raise DeployError(f'ncnn cannot load {os.fspath(path)!r} and the .bin beside it')

        def run(batch: np.ndarray) -> list[np.ndarray]:
            samples = []
            for sample in batch:
                extractor = net.create_extractor()
                extractor.input(net.input_names()[0],
                                ncnn.Mat(np.ascontiguousarray(sample)).clone())
                outputs = [extractor.extract(name) for name in net.output_names()]
                samples.append([np.array(value) for _, value in outputs])
            return [np.stack(column) for column in zip(*samples)]

        return run


class _Tensors(nn.Module):
    """A model as pnnx traces it: a tensor to its outputs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor | Sequence[torch.Tensor]:
        return self.model(x, None, mode='tensor')
