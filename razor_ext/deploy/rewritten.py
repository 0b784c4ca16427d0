"""The torch model as MMDeploy rewrites it for the export: what a file really returns.

A rewriter may return something else than ``mode='tensor'`` does: MMDeploy's for classifiers appends
softmax.
"""
from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from mmdeploy.codebase.base import BaseTask
from mmdeploy.core import RewriterContext, patch_model
from mmdeploy.utils import IR, get_backend, get_input_shape, get_onnx_config
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

from .errors import ParityError
from .parity import OutputParity, TorchRun, check_parity, flatten_outputs, require, run_torch


@dataclass(frozen=True)
class RewrittenForward:
    """Runs a torch model as ``mmdeploy.apis.torch2onnx`` traces it.

    Args:
        deploy_cfg: MMDeploy's deployment config.
        data_samples: Data samples of the input it was traced with, which are constants of the file.
        inner: Tensors inside the file that are compared in place of its outputs, where these are a
            choice and not a continuous function of the input. The rewritten model returns them
            behind its outputs.

    Example:
        ::

            run = RewrittenForward.traced_with(deploy_cfg, task, 'person.jpg',
                                               model.data_preprocessor)
            outputs = run(model, inputs)
    """

    deploy_cfg: Config
    data_samples: object
    inner: tuple[str, ...] = ()

    @classmethod
    def traced_with(cls, deploy_cfg: Config, task: BaseTask, image: str,
                    data_preprocessor: nn.Module,
                    inner: tuple[str, ...] = ()) -> RewrittenForward:
        """Take the data samples of an input.

        Args:
            deploy_cfg: MMDeploy's deployment config.
            task: MMDeploy's task processor.
            image: Input that the file was traced with.
            data_preprocessor: The model's.
            inner: Tensors inside the file to compare.
        """
        batch, _ = task.create_input(image, get_input_shape(deploy_cfg),
                                     data_preprocessor=data_preprocessor)
        return cls(deploy_cfg, batch['data_samples'], inner)

    def __call__(self, model: nn.Module, inputs: Sequence[torch.Tensor],
                 ) -> list[list[np.ndarray]]:
        """Run a model; it is left alone.

        Args:
            model: Model in eval mode, quantized or not.
            inputs: Preprocessed inputs, each with its batch dimension.

        Returns:
            Per input, the output arrays in order.
        """
        with self.patched(model) as patched:
            outputs = [flatten_outputs(patched(batch, data_samples=self.data_samples,
                                               mode='predict')) for batch in inputs]
        return [arrays[-len(self.inner):] for arrays in outputs]

    @contextmanager
    def patched(self, model: nn.Module) -> Iterator[nn.Module]:
        """Rewrite a copy of a model for the length of a block, without gradients."""
        config = copy.deepcopy(self.deploy_cfg)
        backend = get_backend(config).value
        patched = patch_model(copy.deepcopy(model), cfg=config, backend=backend, ir=IR.ONNX)
        opset = get_onnx_config(config).get('opset_version', 11)
        with RewriterContext(cfg=config, backend=backend, ir=IR.ONNX, opset=opset), \
                torch.no_grad():
            yield patched


def check_export(model: nn.Module, onnx_file: str | os.PathLike, inputs: Sequence[torch.Tensor],
                 threshold: float, rewritten: Callable[[], RewrittenForward],
                 inner: bool = False) -> tuple[list[OutputParity], TorchRun]:
    """Compare a float file with torch's tensor mode, else with what MMDeploy made of the model.

    Args:
        model: Torch model in eval mode.
        onnx_file: Its export.
        inputs: Preprocessed inputs.
        threshold: Largest error allowed.
        rewritten: Gives what runs the rewritten model.
        inner: Compare the tensors inside the file that the rewritten model names.

    Returns:
        Agreement per output, and what gave torch's outputs.

    Raises:
        ParityError: If the file differs from both; how it does from the tensor mode.
    """
    if inner:
        run = rewritten()
        parity = check_parity(model, onnx_file, inputs, run)
        require(parity, threshold)
        return parity, run
    try:
        parity = check_parity(model, onnx_file, inputs)
        require(parity, threshold)
    except ParityError as error:
        run = rewritten()
        try:
            parity = check_parity(model, onnx_file, inputs, run)
            require(parity, threshold)
        except ParityError:
            raise error from None
        MMLogger.get_current_instance().warning(
            "the file returns what MMDeploy's rewriters make of the model, not what its "
            "`mode='tensor'` does; it is compared with the rewritten torch model")
        return parity, run
    return parity, run_torch
