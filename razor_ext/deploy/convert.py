"""A model on its way to a backend: the task, the torch model, its inputs and its files."""
from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from mmdeploy.apis import build_task_processor, torch2onnx
from mmdeploy.apis.core.pipeline_manager import no_mp
from mmdeploy.backend.sdk.export_info import export2SDK
from mmdeploy.codebase.base import BaseTask
from mmdeploy.utils import IR, get_backend, get_input_shape, get_ir_config, get_task_type
from mmdeploy.utils.constants import SDK_TASK_MAP
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from razor_ext.engine.atomic import write_json
from razor_ext.engine.families import import_deploy_modules

from .backends import find_backend
from .checks import check_input_size, load_strictly
from .config_check import check_deploy_config
from .errors import DeployError


@dataclass
class Conversion:
    """One model on its way to a backend.

    Args:
        deploy_cfg: MMDeploy's deployment config.
        model_cfg: Config of the dense or compressed model.
        checkpoint: Weights of that model.
        device: Device of the torch model.
        portable: Export a graph for any runtime, without what MMDeploy rewrites for the backend.
    """

    deploy_cfg: Config
    model_cfg: Config
    checkpoint: str
    device: str = 'cpu'
    portable: bool = False

    def __post_init__(self) -> None:
        import_deploy_modules()
        check_deploy_config(self.deploy_cfg)
        ir_config = get_ir_config(self.deploy_cfg)
        if IR.get(ir_config['type']) is not IR.ONNX:
            raise DeployError(f'only ONNX is exported here, {self.deploy_cfg.filename} asks for '
                              f'{ir_config["type"]!r}')
        self.save_file: str = ir_config['save_file']
        self.backend = find_backend(get_backend(self.deploy_cfg).value)
        if self.portable or not self.backend.rewrites_graph:
            self.deploy_cfg = for_onnxruntime(self.deploy_cfg)
        check_input_size(self.deploy_cfg, self.model_cfg)

    def build_task(self) -> BaseTask:
        """Build MMDeploy's task processor."""
        return build_task_processor(self.model_cfg, self.deploy_cfg, self.device)

    def build_model(self) -> nn.Module:
        """Build the torch model, sliced but not padded, with the weights of its construction."""
        config = self.model_cfg.model.copy()
        config.pop('pretrained', None)
        preprocessor = self.model_cfg.get('data_preprocessor')
        if 'architecture' not in config and preprocessor is not None:
            config.setdefault('data_preprocessor', preprocessor)
        with DefaultScope.overwrite_default_scope(self.model_cfg.get('default_scope')):
            return MODELS.build(config)

    def build_reference(self, grids: bool = False) -> BaseModel:
        """Build the torch model with all its weights, before any padding to a divisor.

        Args:
            grids: See `load_strictly`.

        Returns:
            The model in eval mode.

        Raises:
            DeployError: If the checkpoint does not fill it.
        """
        model = self.build_model()
        load_strictly(model, self.checkpoint, grids)
        return revert_sync_batchnorm(model).to(self.device).eval()

    def create_inputs(self, task: BaseTask, model: nn.Module,
                      images: Sequence[str]) -> list[torch.Tensor]:
        """Preprocess images as the test pipeline does.

        Args:
            task: The task processor.
            model: Model with a data preprocessor.
            images: Image files.

        Returns:
            One tensor [1, 3, height, width] per image.
        """
        shape = get_input_shape(self.deploy_cfg)
        inputs = []
        for image in images:
            _, tensor = task.create_input(image, shape,
                                          data_preprocessor=model.data_preprocessor)
            inputs.append(tensor[0] if isinstance(tensor, list) else tensor)
        return inputs

    def load_inputs(self, task: BaseTask, model: BaseModel, config: str,
                    samples: int = 32) -> list[torch.Tensor]:
        """Preprocess the first samples of a data set.

        Args:
            task: The task processor.
            model: Model with a data preprocessor.
            config: Config file whose ``val_dataloader`` gives the data.
            samples: How many.

        Returns:
            At least `samples` inputs where there are so many, one by one: a file may take no
            larger batch.

        Raises:
            DeployError: If the config has no ``val_dataloader``.
        """
        dataloader = Config.fromfile(config).get('val_dataloader')
        if dataloader is None:
            raise DeployError(f'calibration config {config!r} has no `val_dataloader`')
        inputs: list[torch.Tensor] = []
        for batch in task.build_dataloader(dataloader):
            inputs.extend(model.data_preprocessor(batch, False)['inputs'].split(1))
            if len(inputs) >= samples:
                break
        return inputs

    def export(self, image: str | np.ndarray, folder: Path,
               as_trained: nn.Module | None = None) -> Path:
        """Write the ONNX file.

        Args:
            image: Image, or another sample of the task, that the exporter traces the model with.
            folder: Where to write.
            as_trained: A model of the same types, to export the layers as they were trained;
                else MMDeploy merges the branches of a model that can be re-parametrised.

        Returns:
            Path of the file.
        """
        with no_mp(), nullcontext() if as_trained is None else branches_kept(as_trained):
            torch2onnx(image, os.fspath(folder), self.save_file, self.deploy_cfg, self.model_cfg,
                       self.checkpoint, device=self.device)
        return folder / self.save_file

    def convert_backend(self, onnx_file: Path, folder: Path, model: nn.Module,
                        batch: torch.Tensor) -> list[str]:
        """Convert for the backend of the deploy config.

        Args:
            onnx_file: Exported file.
            folder: Where to write.
            model: The torch model it was exported from.
            batch: An input.

        Returns:
            The new files.
        """
        return self.backend.convert(onnx_file, folder, model=model, batch=batch,
                                    deploy_cfg=self.deploy_cfg, device=self.device)

    def dump_info(self, folder: Path, integers: bool = False) -> None:
        """Write deploy.json, pipeline.json and detail.json for MMDeploy's SDK.

        Args:
            folder: Where to write.
            integers: Whether the file holds integers, of which MMDeploy knows nothing.

        Raises:
            DeployError: If the SDK does not know the task.
        """
        task = get_task_type(self.deploy_cfg)
        if task not in SDK_TASK_MAP:
            raise DeployError(f"MMDeploy's SDK has no {task.value}; leave out --dump-info")
        export2SDK(self.deploy_cfg, self.model_cfg, os.fspath(folder), pth=self.checkpoint,
                   device=self.device)
        if integers:
            path = folder / 'deploy.json'
            content = json.loads(path.read_text(encoding='utf-8'))
            for model in content['models']:
                model['precision'] = 'INT8'
            write_json(path, content)


@contextmanager
def branches_kept(model: nn.Module) -> Iterator[None]:
    """Leave models of these types unmerged for the length of a block.

    MMDeploy calls `switch_to_deploy` of a model and of its backbone.

    Args:
        model: The model.
    """
    types: set[Any] = {type(part) for part in (model, getattr(model, 'backbone', None))
                       if hasattr(part, 'switch_to_deploy')}
    with ExitStack() as stack:
        for cls in types:
            stack.enter_context(patch.object(cls, 'switch_to_deploy', lambda self: None))
        yield


def for_onnxruntime(deploy_cfg: Config) -> Config:
    """Copy a deploy config for ONNX Runtime, which runs the exported file of any backend."""
    plain = copy.deepcopy(deploy_cfg)
    plain.backend_config = dict(type='onnxruntime')
    return plain
