"""MMDeploy's codebase for gait models: frames in, part embeddings out.

A deploy config reaches it by ``codebase_config=dict(type='razor_ext', task='GaitRecognition',
module=['razor_ext.gait.deploy.codebase'])``; `module` is for MMDeploy's own tools, those of this
package import it for every family.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from aenum import extend_enum
from mmdeploy.codebase.base import CODEBASE, BaseBackendModel, BaseTask, MMCodebase
from mmdeploy.core import FUNCTION_REWRITER
from mmdeploy.utils import Task, get_backend
from mmengine.dataset import Compose
from mmengine.registry import Registry
from torch import nn

from razor_ext.engine.errors import DeployError
from razor_ext.gait.datasets.dataset import pickle_numbers
from razor_ext.gait.datasets.tree import sequence_files
from razor_ext.gait.models.data_preprocessor import packed_lengths
from razor_ext.gait.models.recognizer import GaitRecognizer
from razor_ext.registry import MODELS

TASK = 'GaitRecognition'
if TASK not in {task.value for task in Task}:
    extend_enum(Task, 'GAIT_RECOGNITION', TASK)
GAIT_TASKS = Registry('gait_tasks')


@FUNCTION_REWRITER.register_rewriter('razor_ext.gait.models.recognizer.GaitRecognizer.forward')
def gait_recognizer__forward(self, inputs, data_samples=None, mode='tensor'):
    """Export the embedding of stacked sequences, whatever mode MMDeploy asks for."""
    return self.head(self.extract_feat(inputs))


@CODEBASE.register_module('razor_ext')
class GaitCodebase(MMCodebase):
    """Codebase of gait models."""
    task_registry = GAIT_TASKS

    @classmethod
    def register_deploy_modules(cls) -> None:
        """The rewriter above is all there is."""

    @classmethod
    def register_all_modules(cls) -> None:
        """Importing this module registers everything."""


class GaitBackendModel(BaseBackendModel):
    """A deployed gait model that fills data samples as the torch model does.

    Args:
        backend_files: Files of the backend.
        deploy_cfg: MMDeploy's deployment config.
        device: Device of the backend.
        data_preprocessor: Config of the data preprocessor.
    """

    def __init__(self, backend_files: Sequence[str], deploy_cfg, device: str,
                 data_preprocessor: dict) -> None:
        super().__init__(deploy_cfg=deploy_cfg,
                         data_preprocessor=MODELS.build(data_preprocessor))
        self.device = device
        self.wrapper = self._build_wrapper(
            get_backend(deploy_cfg), backend_files, device, [self.input_name], self.output_names,
            deploy_cfg)

    def forward(self, inputs: torch.Tensor, data_samples: list, mode: str = 'predict') -> list:
        """Run sequences ``[n, c, s, h, w]``, or packed ones each by itself.

        Returns:
            The data samples with their ``embedding``.
        """
        lengths = packed_lengths(inputs, data_samples)
        clips = [inputs] if lengths is None else inputs.split(lengths, dim=2)
        found = [self.wrapper({self.input_name: clip.contiguous().to(self.device)})
                 for clip in clips]
        embeddings = torch.cat([self.wrapper.output_to_list(output)[0] for output in found])
        for sample, embedding in zip(data_samples, embeddings):
            sample.set_field(embedding, 'embedding')
        return data_samples


@GAIT_TASKS.register_module(TASK)
class GaitRecognition(BaseTask):
    """Deployment task of gait recognition; takes the arguments of :class:`BaseTask`."""

    #: There is no picture to draw an embedding on.
    drawable = False
    #: A sequence of several pickles is a folder.
    reads_folders = True

    def build_backend_model(self, model_files: Sequence[str] | None = None,
                            data_preprocessor_updater: Callable | None = None,
                            **kwargs) -> nn.Module:
        """Wrap backend files."""
        if model_files is None:
            raise DeployError('a gait model is deployed from the files of a backend: give them as '
                              'model_files')
        config = self.model_cfg
        # As the recogniser itself has it by default: a converted config names none.
        preprocessor = (config.model.get('data_preprocessor') or config.get('data_preprocessor')
                        or dict(type='GaitDataPreprocessor'))
        return GaitBackendModel(model_files, self.deploy_cfg, self.device,
                                preprocessor).eval().to(self.device)

    def prepare_reference(self, model: GaitRecognizer) -> None:
        """Make ``mode='tensor'`` give what is deployed: the embedding."""
        model.tensor_output = 'embedding'

    def create_input(self, imgs: str | np.ndarray, input_shape=None, data_preprocessor=None,
                     **kwargs) -> tuple[dict, torch.Tensor]:
        """Prepare one sequence as the test pipeline does.

        Args:
            imgs: Pickle of a sequence in the published layout, folder of a sequence of several
                pickles, ``.npy`` file, or an array uint8 [s, h, w] or [s, c, h, w].
            input_shape: Unused: the pipeline fixes the size.
            data_preprocessor: The model's.

        Returns:
            Batch and inputs [1, c, s, h, w].

        Raises:
            DeployError: If it is no such sequence.
        """
        steps = list(self.model_cfg.test_dataloader.dataset.pipeline)
        sample: dict[str, Any] = {
            'store': None, 'path': str(imgs) if isinstance(imgs, str) else 'array',
            'subject': '', 'condition': '', 'view': '', 'label': 0, 'sample_idx': 0}
        if isinstance(imgs, str) and Path(imgs).is_dir():
            sample['paths'] = sequence_files(imgs, pickle_numbers(
                self.model_cfg.test_dataloader.dataset.get('data_in_use')))
        load: dict = next((step for step in steps if step['type'] == 'LoadSilhouettes'), {})
        channels = load.get('channels', 1)
        if isinstance(imgs, np.ndarray) and imgs.ndim == 3 and channels > 1:  # a random sample
            imgs = imgs[:, None].repeat(channels, axis=1)
        if isinstance(imgs, str) and Path(imgs).suffix == '.npy':
            imgs = np.load(imgs, allow_pickle=False)
        if isinstance(imgs, np.ndarray):
            sample['frames'] = self._frames(imgs, channels)
            steps = [step for step in steps if step is not load]
        packed = Compose(steps)(sample)
        batch: dict[str, Any] = {'inputs': [packed['inputs']],
                                 'data_samples': [packed['data_samples']]}
        if data_preprocessor is not None:
            batch = data_preprocessor(batch, False)
        return batch, batch['inputs']

    @staticmethod
    def _frames(frames: np.ndarray, channels: int) -> np.ndarray:
        """Check an array; frames of one channel may come with or without its dimension."""
        if frames.dtype != np.uint8 or frames.ndim not in (3, 4):
            raise DeployError('frames must be uint8 [frames, height, width], or [frames, channels, '
                              f'height, width], got {frames.dtype} {frames.shape}')
        found = frames.shape[1] if frames.ndim == 4 else 1
        if found != channels:
            raise DeployError(f'the model takes frames of {channels} channels, got {found}')
        return frames[:, 0] if frames.ndim == 4 and channels == 1 else frames

    def get_model_name(self, *args, **kwargs) -> str:
        """Name of the model's type."""
        return self.model_cfg.model.type.lower()

    def get_preprocess(self, *args, **kwargs) -> list:
        """MMDeploy's SDK has no silhouettes."""
        raise NotImplementedError("MMDeploy's SDK has no pipeline for gait")

    def get_postprocess(self, *args, **kwargs) -> dict:
        """MMDeploy's SDK has no embeddings."""
        raise NotImplementedError("MMDeploy's SDK has no pipeline for gait")

    @staticmethod
    def get_partition_cfg(partition_type: str, **kwargs) -> dict:
        """Gait models are exported whole."""
        raise NotImplementedError(f'no partition {partition_type!r} for gait models')
