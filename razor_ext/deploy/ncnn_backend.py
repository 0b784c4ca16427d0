"""ncnn by its own converter, pnnx: MMDeploy's converter has to be compiled from source."""
from __future__ import annotations

import importlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from mmdeploy.backend.base import BaseWrapper
from torch import nn

from .errors import DeployError


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DeployError(f'{name} is not installed: pip install ncnn pnnx') from error


class _Tensors(nn.Module):
    """A model as pnnx traces it: a tensor to its outputs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor | Sequence[torch.Tensor]:
        return self.model(x, None, mode='tensor')


def convert(onnx_file: Path, folder: Path, model: nn.Module, batch: torch.Tensor) -> list[str]:
    """Write the model as ncnn's .param and .bin, in full precision.

    Args:
        onnx_file: Exported file; gives the names.
        folder: Where to write.
        model: Torch model in eval mode.
        batch: Input of batch 1, whose size the file is for.

    Returns:
        Both paths.

    Raises:
        DeployError: If ncnn or pnnx is not installed, or pnnx fails.
    """
    _import('ncnn')
    pnnx = _import('pnnx')
    shape = ','.join(map(str, batch[:1].shape))
    with tempfile.TemporaryDirectory() as scratch:
        traced = Path(scratch, 'model.pt')
        with torch.no_grad():
            torch.jit.trace(_Tensors(model), batch[:1]).save(os.fspath(traced))
        done = subprocess.run([pnnx.EXEC_PATH, os.fspath(traced), f'inputshape=[{shape}]',
                               'fp16=0'], cwd=scratch, capture_output=True, text=True, check=False)
        made = [Path(scratch, f'model.ncnn.{kind}') for kind in ('param', 'bin')]
        if done.returncode or not all(path.is_file() for path in made):
            raise DeployError(f'pnnx cannot convert the model: {done.stderr.strip()[-500:]}')
        files = [folder / f'{onnx_file.stem}{path.suffix}' for path in made]
        for path, file in zip(made, files):
            file.write_bytes(path.read_bytes())
    return [os.fspath(file) for file in files]


class Wrapper(BaseWrapper):
    """What MMDeploy's backend models call; its own wrapper needs compiled operators.

    Args:
        param: File written by :func:`convert`.
        output_names: Outputs in order.
    """

    def __init__(self, param: str | os.PathLike, output_names: Sequence[str]) -> None:
        super().__init__(output_names)
        self._net = _load(param)

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Run a model of one input, sample by sample."""
        (batch,) = inputs.values()
        outputs = _run(self._net, batch.cpu().numpy())
        return {name: torch.from_numpy(output) for name, output in zip(self.output_names, outputs)}


def run(param: str | os.PathLike, inputs: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Run a model of one input on the CPU, in float32.

    Args:
        param: File written by :func:`convert`.
        inputs: Batches.

    Returns:
        Per batch, the outputs in order.
    """
    net = _load(param)
    return [_run(net, batch) for batch in inputs]


def _load(param: str | os.PathLike):
    net = _import('ncnn').Net()
    for option in ('use_fp16_packed', 'use_fp16_storage', 'use_fp16_arithmetic',
                   'use_bf16_storage'):
        setattr(net.opt, option, False)
    weights = os.fspath(Path(param).with_suffix('.bin'))
    if net.load_param(os.fspath(param)) or net.load_model(weights):
        raise DeployError(f'ncnn cannot load {os.fspath(param)!r} and the .bin beside it')
    return net


def _run(net, batch: np.ndarray) -> list[np.ndarray]:
    ncnn = _import('ncnn')
    samples = []
    for sample in batch:
        extractor = net.create_extractor()
        extractor.input(net.input_names()[0], ncnn.Mat(np.ascontiguousarray(sample)).clone())
        outputs = [extractor.extract(name) for name in net.output_names()]
        samples.append([np.array(value) for _, value in outputs])
    return [np.stack(column) for column in zip(*samples)]
