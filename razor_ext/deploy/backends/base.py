"""What a deployment asks of a backend."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdeploy.apis.core.pipeline_manager import no_mp
from mmdeploy.apis.utils import to_backend
from mmdeploy.backend.base import BaseWrapper, get_backend_manager
from mmengine.config import Config
from mmengine.registry import Registry
from torch import nn

from ..errors import DeployError
from ..parity import OutputParity, TorchRun, compare, run_torch
from .integer_support import IntegerSupport
from .runner import Runner, RunnerWrapper

#: Backends by MMDeploy's name.
BACKENDS = Registry('deploy_backend')
#: Options of a deployment that are for files which ONNX Runtime runs.
ONNXRUNTIME_OPTIONS = ('parent', 'compare_static', 'pack_int4')


class Backend:
    """A backend of MMDeploy, converted and drawn by MMDeploy and not run here.

    Subclasses say what differs, and are registered in :data:`BACKENDS` under MMDeploy's name.

    Args:
        name: MMDeploy's name of the backend.

    Example:
        >>> from razor_ext.deploy.backends import find_backend
        >>> find_backend('openvino').integers.activation_bits
        8
    """

    #: Name in messages; None takes the registered one.
    title: str | None = None
    #: Suffix of the file that it loads.
    suffix: str | None = None
    #: None where no integers are written, and why.
    integers: IntegerSupport | None = None
    why_no_integers = 'it was never tried'
    #: Whether its file can be run, and so compared and tested, here.
    runs_here = False
    #: Whether MMDeploy's rewriters for it shape the exported graph; else those for ONNX Runtime.
    rewrites_graph = True
    #: Whether MMDeploy draws predictions of its file.
    draws = True
    #: Whether the latency of the ONNX file is measured.
    timed = True
    #: Fields of DeployOptions that do not fit it.
    unfit_options: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = self.title or name

    @property
    def has_own_file(self) -> bool:
        """Whether a file that can be run here lies beside the ONNX file."""
        return self.runs_here and self.suffix != '.onnx'

    def config(self, shape: Sequence[int], input_name: str) -> dict[str, Any]:
        """Return MMDeploy's `backend_config` for a model of one input.

        Args:
            shape: of an input with a batch of 1.
            input_name: of the graph.
        """
        return dict(type=self.name)

    def is_installed(self) -> bool:
        """Whether :meth:`require_installed` passes."""
        try:
            self.require_installed()
        except DeployError:
            return False
        return True

    def require_installed(self) -> None:
        """Refuse a backend whose converter is not installed.

        Raises:
            DeployError: Naming it.
        """
        manager = get_backend_manager(self.name)
        if manager is None or not manager.is_available():
            raise DeployError(
                f'{self.name} is not installed; install it, or write the ONNX file alone '
                'by --onnx-only and convert it where it runs')

    def check_options(self, options: object) -> None:
        """Refuse options that are for another backend.

        Args:
            options: A ``DeployOptions``.

        Raises:
            DeployError: Naming the options and the backend.
        """
        if any(getattr(options, name) for name in self.unfit_options):
            *first, last = (f'--{name.replace("_", "-")}' for name in self.unfit_options)
            flags = f'{", ".join(first)} and {last}' if first else last
            raise DeployError(f'{flags} are for files that ONNX Runtime runs, not for {self.title}')

    def check_grids(self, spec: Mapping) -> IntegerSupport:
        """Refuse grids that it cannot compute.

        Args:
            spec: Content of quant.json.

        Returns:
            What it computes.

        Raises:
            DeployError: Naming the backend, or the first layer that does not fit.
        """
        if self.integers is None:
            able = [name for name, kind in BACKENDS.module_dict.items() if kind.integers]
            raise DeployError(f'no integers are written for {self.name}: {self.why_no_integers}; '
                              f'leave out --quant or deploy for {", ".join(able)}')
        self.integers.check(self.name, spec, {name: kind.integers
                                              for name, kind in BACKENDS.module_dict.items()
                                              if kind.integers})
        return self.integers

    def convert(self, onnx_file: Path, folder: Path, *, model: nn.Module | None = None,
                batch: torch.Tensor | None = None, deploy_cfg: Config | None = None,
                device: str = 'cpu') -> list[str]:
        """Convert a model, in full precision where it is not on integers.

        Args:
            onnx_file: Exported file; gives the names.
            folder: Where to write.
            model: Torch model it was exported from, in eval mode.
            batch: An input.
            deploy_cfg: MMDeploy's deployment config.
            device: Device of the conversion.

        Returns:
            The files; the first one is loaded.

        Raises:
            DeployError: If the converter is not installed or fails.
        """
        with no_mp():
            return list(to_backend(self.name, [os.fspath(onnx_file)], work_dir=os.fspath(folder),
                                   deploy_cfg=deploy_cfg, device=device))

    def load(self, path: str | os.PathLike) -> Runner:
        """Load a converted file.

        Args:
            path: The first file of :meth:`convert`.

        Returns:
            What runs a batch on the CPU, in float32 where it is not on integers.

        Raises:
            DeployError: If it cannot be loaded or run here.
        """
        raise DeployError(f'{os.fspath(path)!r} is not run here: {self.title} runs it on its own '
                          'machine')

    def run(self, path: str | os.PathLike, inputs: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        """Run a model of one input.

        Args:
            path: The first file of :meth:`convert`.
            inputs: Batches.

        Returns:
            Per batch, the outputs in order.
        """
        run = self.load(path)
        return [run(batch) for batch in inputs]

    def compare(self, path: str | os.PathLike, model: nn.Module, inputs: Sequence[torch.Tensor],
                names: Sequence[str], run: TorchRun = run_torch) -> list[OutputParity]:
        """Compare a converted file with the torch model.

        Args:
            path: The first file of :meth:`convert`.
            model: Torch model in eval mode.
            inputs: Preprocessed batches.
            names: Outputs in order.
            run: What runs the torch model.

        Returns:
            Agreement per output, over all batches.
        """
        exported = self.run(path, [batch.cpu().numpy() for batch in inputs])
        return compare(names, run(model, inputs), exported)

    def wrapper(self, path: str | os.PathLike, output_names: Sequence[str]) -> BaseWrapper:
        """What MMDeploy's backend models call, for a converted file.

        Args:
            path: The first file of :meth:`convert`.
            output_names: Outputs in order.
        """
        return RunnerWrapper(self.load(path), output_names)
