"""How the regressor is deployed, for MMDeploy: the input of a file, and the name of the task."""
from __future__ import annotations

import numpy as np
import torch
from aenum import extend_enum
from mmdeploy.codebase.base import CODEBASE, BaseTask, MMCodebase
from mmdeploy.utils import Task
from mmengine.registry import Registry

TASK = 'SignalRegression'
if TASK not in {task.value for task in Task}:
    extend_enum(Task, 'SIGNAL_REGRESSION', TASK)
TOY_TASKS = Registry('toy_tasks')


@CODEBASE.register_module('toy_family')
class ToyCodebase(MMCodebase):
    """Codebase of the family; MMDeploy wants it to have the name of its package."""

    task_registry = TOY_TASKS

    @classmethod
    def register_deploy_modules(cls) -> None:
        """The model is exported as it is."""

    @classmethod
    def register_all_modules(cls) -> None:
        """`import razor_ext` has registered everything."""


@TOY_TASKS.register_module(TASK)
class SignalRegression(BaseTask):
    """Deployment of a regressor of signals."""

    #: There is no picture to draw a frequency on.
    drawable = False

    def create_input(self, imgs: str | np.ndarray, *args: object, **kwargs: object
                     ) -> tuple[dict, torch.Tensor]:
        """Return the batch and the inputs [1, 2, 32] of a signal, or of its .npy file."""
        signal = np.load(imgs, allow_pickle=False) if isinstance(imgs, str) else imgs
        inputs = torch.from_numpy(signal)[None]
        return dict(inputs=inputs, data_samples=None), inputs

    def get_model_name(self, *args: object, **kwargs: object) -> str:
        """Name of the model."""
        return 'toyregressor'

    def _leave_out(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError("no test set and no MMDeploy SDK for a toy's file")

    build_backend_model = get_partition_cfg = get_preprocess = get_postprocess = _leave_out
