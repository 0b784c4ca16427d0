"""Accuracy of torch and deployed models on the test set of a config, by one and the same loop."""
from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from mmdeploy.apis.utils import build_task_processor
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from .backends import find_runner
from .convert import for_onnxruntime
from .errors import DeployError


def evaluate(model: BaseModel, model_cfg: Config, batch_size: int | None = None,
             ) -> dict[str, float]:
    """Run the test set through a model, as ``Runner.test`` does.

    Args:
        model: Torch model, or a backend model of MMDeploy.
        model_cfg: Config with ``test_dataloader`` and ``test_evaluator``.
        batch_size: Batch size; None takes the config's.

    Returns:
        The metrics.

    Raises:
        DeployError: If the config has no test set.
    """
    for key in ('test_dataloader', 'test_evaluator'):
        if not model_cfg.get(key):
            raise DeployError(f'{model_cfg.filename} has no `{key}`: give it one, or leave out '
                              'the test')
    options = copy.deepcopy(model_cfg.test_dataloader)
    if batch_size is not None:
        options['batch_size'] = batch_size
    with DefaultScope.overwrite_default_scope(model_cfg.get('default_scope')), torch.no_grad():
        loader = Runner.build_dataloader(options)
        evaluator = Evaluator(copy.deepcopy(model_cfg.test_evaluator))
        evaluator.dataset_meta = getattr(loader.dataset, 'metainfo', None)
        for batch in loader:
            evaluator.process(data_samples=model.test_step(batch), data_batch=batch)
        metrics = evaluator.evaluate(len(loader.dataset))
    return {name: float(value) for name, value in metrics.items()
            if isinstance(value, (int, float))}


def evaluate_file(deploy_cfg: Config, model_cfg: Config,
                  path: str | os.PathLike) -> dict[str, float]:
    """Run the test set through a deployed file.

    Args:
        deploy_cfg: MMDeploy's deployment config the file was made with.
        model_cfg: Config with the test set.
        path: ONNX file, run by ONNX Runtime whatever the backend of `deploy_cfg`; or the file that
            another backend loads (OpenVINO's .xml, ncnn's .param) beside the ONNX file it was made
            from. A file exported for a fixed batch must be one for a batch of 1.

    Returns:
        The metrics.

    Raises:
        DeployError: If no backend runs such a file here, it is of another batch size than 1, or
            another backend's file stands alone.
    """
    backend, onnx_file = find_runner(path), Path(path).with_suffix('.onnx')
    if not onnx_file.is_file():
        raise DeployError(f'{os.fspath(onnx_file)!r} does not exist; give an ONNX file, or the '
                          'file of another backend beside it')
    batch = fixed_batch(onnx_file)
    if batch not in (None, 1):
        raise DeployError(f'{os.fspath(onnx_file)!r} takes batches of {batch} only, and the test '
                          'set need not be a multiple of it; export with dynamic_axes or a batch '
                          'of 1')
    task = build_task_processor(model_cfg, for_onnxruntime(deploy_cfg), 'cpu')
    model = task.build_backend_model([os.fspath(onnx_file)],
                                     data_preprocessor_updater=task.update_data_preprocessor)
    if backend.has_own_file:
        model.wrapper = backend.wrapper(path, model.output_names)
    return evaluate(model.eval(), model_cfg, batch)


def fixed_batch(path: str | os.PathLike) -> int | None:
    """Batch size an ONNX file was exported for, None if it takes any."""
    size = onnx.load(os.fspath(path)).graph.input[0].type.tensor_type.shape.dim[0]
    return size.dim_value if size.HasField('dim_value') else None


def as_deployed(model: BaseModel) -> BaseModel:
    """Copy a torch model that predicts in a single pass, as an exported graph does.

    Test-time flipping averages two passes; a file holds one.
    """
    single = copy.deepcopy(model).eval()
    for module in single.modules():
        options = getattr(module, 'test_cfg', None)
        if isinstance(options, Mapping) and options.get('flip_test'):
            module.test_cfg = {**options, 'flip_test': False}
    return single
