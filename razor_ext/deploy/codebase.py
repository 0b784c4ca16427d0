"""MMDeploy's ``mmrazor`` codebase for pruned models.

MMDeploy sends a model config whose ``_scope_`` is ``mmrazor`` to a codebase of that name, which
its wheel does not ship. This one hands every request to the task of the architecture inside the
algorithm, and builds the torch model from the compressed config.
"""
from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from mmdeploy.apis.utils import build_task_processor
from mmdeploy.codebase.base import CODEBASE, BaseTask, MMCodebase
from mmdeploy.utils import Codebase, Task
from mmengine.config import Config
from mmengine.registry import Registry
from torch import nn

COMPRESSION_TASKS = Registry('mmrazor_tasks')
#: What a task may have besides MMDeploy's methods: `select` (see `deploy.selection`), `set_boxes`
#: and `draw_prediction` (see `pose.deploy.task`).
OPTIONAL = ('select', 'set_boxes', 'draw_prediction')


def architecture_config(model_cfg: Config) -> Config:
    """Turn the config of a compressed model into that of its architecture.

    Args:
        model_cfg: Config whose ``model`` holds ``architecture`` or ``algorithm.architecture``.

    Returns:
        A copy whose ``model`` is the architecture.

    Raises:
        ValueError: If neither key is there.
    """
    model = model_cfg['model']
    wrapper = model if 'architecture' in model else model.get('algorithm', {})
    if not isinstance(wrapper, dict) or 'architecture' not in wrapper:
        raise ValueError(
            f'model of type {model.get("type")!r} in {model_cfg.filename} holds neither '
            '`architecture` nor `algorithm.architecture`; a deploy config must keep the '
            'architecture as a config, e.g. `architecture=_base_.model`')
    architecture = deepcopy(wrapper['architecture'])
    reverted = deepcopy(model_cfg)
    reverted['model'] = architecture
    if 'data_preprocessor' in architecture:
        reverted['data_preprocessor'] = architecture['data_preprocessor']
    return reverted


@CODEBASE.register_module(Codebase.MMRAZOR.value)
class CompressedModels(MMCodebase):
    """Codebase of models compressed by an MMRazor algorithm."""
    task_registry = COMPRESSION_TASKS

    @classmethod
    def register_deploy_modules(cls) -> None:
        """Nothing to register: the architecture's own codebase brings its rewriters."""

    @classmethod
    def register_all_modules(cls) -> None:
        """Register MMRazor's modules under the ``mmrazor`` scope."""
        from mmrazor.utils import register_all_modules
        register_all_modules(True)

    @classmethod
    def build_task_processor(cls, model_cfg: Config, deploy_cfg: Config,
                             device: str) -> ModelCompress:
        """Build the task; the deploy config names the architecture's task, not this one."""
        return ModelCompress(model_cfg=model_cfg, deploy_cfg=deploy_cfg, device=device)


@COMPRESSION_TASKS.register_module(Task.ModelCompress.value)
class ModelCompress(BaseTask):
    """Deployment task of a compressed model.

    Args:
        model_cfg: Config of the compressed model.
        deploy_cfg: MMDeploy's deployment config.
        device: Device name.
        experiment_name: Name of the scope opened by MMDeploy.
    """

    def __init__(self, model_cfg: Config, deploy_cfg: Config, device: str,
                 experiment_name: str = 'BaseTask') -> None:
        super().__init__(model_cfg, deploy_cfg, device, experiment_name)
        self.base_task = build_task_processor(architecture_config(model_cfg), deploy_cfg, device)

    @property
    def drawable(self) -> bool:
        """Whether predictions can be drawn on the input."""
        return getattr(self.base_task, 'drawable', True)

    @property
    def reads_folders(self) -> bool:
        """Whether an input may be a folder."""
        return getattr(self.base_task, 'reads_folders', False)

    @property
    def sample_input(self) -> Callable[[np.random.Generator], np.ndarray] | None:
        """What draws a random input of the architecture's task, if it says how."""
        return getattr(self.base_task, 'sample_input', None)

    def prepare_reference(self, model: nn.Module) -> None:
        """Make the torch model give what is deployed, as the architecture's task does."""
        prepare = getattr(self.base_task, 'prepare_reference', None)
        if prepare is not None:
            prepare(model)

    def __getattr__(self, name: str) -> Any:
        """Have the abilities of `OPTIONAL` that the architecture's task has."""
        if name not in OPTIONAL:
            raise AttributeError(name)
        return getattr(self.base_task, name)

    def build_pytorch_model(self, model_checkpoint: str | None = None,
                            cfg_options: dict | None = None, **kwargs) -> nn.Module:
        """Build the sliced model and load its checkpoint.

        Padding to a divisor comes last: it needs the weights and plain BatchNorm, which
        :meth:`BaseTask.build_pytorch_model` leaves.
        """
        model = super().build_pytorch_model(model_checkpoint, cfg_options, **kwargs)
        post_process = getattr(model, 'post_process_for_mmdeploy', None)
        if post_process is not None:
            post_process()
        return model

    def build_backend_model(self, model_files=None, data_preprocessor_updater=None, **kwargs):
        """Wrap backend files, as the architecture's task does."""
        return self.base_task.build_backend_model(model_files, data_preprocessor_updater,
                                                  **kwargs)

    def create_input(self, imgs, input_shape=None, data_preprocessor=None, **kwargs):
        """Prepare inputs, as the architecture's task does."""
        return self.base_task.create_input(imgs, input_shape, data_preprocessor, **kwargs)

    def visualize(self, *args, **kwargs) -> None:
        """Draw a prediction, as the architecture's task does."""
        self.base_task.visualize(*args, **kwargs)

    def get_model_name(self, *args, **kwargs) -> str:
        """Name of the architecture."""
        return self.base_task.get_model_name(*args, **kwargs)

    def get_preprocess(self, *args, **kwargs) -> list:
        """Preprocessing of the architecture, for MMDeploy's SDK."""
        return self.base_task.get_preprocess(*args, **kwargs)

    def get_postprocess(self, *args, **kwargs) -> dict:
        """Postprocessing of the architecture, for MMDeploy's SDK."""
        return self.base_task.get_postprocess(*args, **kwargs)

    @staticmethod
    def get_partition_cfg(partition_type: str, **kwargs) -> dict:
        """Compressed models are exported whole."""
        raise NotImplementedError(f'no partition {partition_type!r} for compressed models')
