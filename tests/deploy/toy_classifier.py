"""A classifier with a codebase of MMDeploy's kind, whose rewriter appends softmax."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from aenum import extend_enum
from mmdeploy.codebase.base import CODEBASE, BaseTask, MMCodebase
from mmdeploy.core import FUNCTION_REWRITER
from mmdeploy.utils import Task
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, Registry
from torch import Tensor, nn

from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.quantization import QuantConfig, calibrate, fix_bits, quantize_model, save_quant

TASK = 'ToyClassification'
if TASK not in {task.value for task in Task}:
    extend_enum(Task, 'TOY_CLASSIFICATION', TASK)
TOY_TASKS = Registry('toy_tasks')
DEPLOY_CFG = dict(
    codebase_config=dict(type='tests', task=TASK), backend_config=dict(type='onnxruntime'),
    onnx_config=dict(type='onnx', save_file='end2end.onnx', opset_version=13, optimize=False,
                     export_params=True, keep_initializers_as_inputs=False, input_shape=None,
                     input_names=['input'], output_names=['probabilities'], dynamic_axes=None))


@MODELS.register_module()
class ToyClassifier(BaseModel):
    """Two convolutions and a linear layer over patches."""

    def __init__(self, data_preprocessor: dict | None = None) -> None:
        super().__init__(data_preprocessor)
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.body = nn.Conv2d(8, 8, 3, 2, 1)
        self.mlp = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: Tensor, data_samples: list | None = None,
                mode: str = 'tensor') -> Tensor:
        """Logits."""
        x = torch.relu(self.body(torch.relu(self.stem(inputs)))).flatten(2).transpose(1, 2)
        return 20 * self.head(torch.relu(self.mlp(x)).mean(1))


@MODELS.register_module()
class ToyDifference(ToyClassifier):
    """Its logits hang on the small difference of two large tensors, which no layer reads."""

    def __init__(self, data_preprocessor: dict | None = None) -> None:
        super().__init__(data_preprocessor)
        self.twin = nn.Conv2d(3, 8, 3, 2, 1)
        with torch.no_grad():
            self.twin.weight.mul_(0.01).sub_(self.stem.weight)
            for layer in (self.stem, self.twin, self.body, self.mlp, self.head):
                layer.bias.zero_()

    def forward(self, inputs: Tensor, data_samples: list | None = None,
                mode: str = 'tensor') -> Tensor:
        """Logits."""
        x = self.body(self.stem(inputs) + self.twin(inputs)).flatten(2).transpose(1, 2)
        return self.head(self.mlp(x)).flatten(1)


@FUNCTION_REWRITER.register_rewriter('tests.deploy.toy_classifier.ToyClassifier.forward')
def toy_classifier__forward(self, inputs, data_samples=None, mode='tensor'):
    """Probabilities."""
    from mmdeploy.core import FUNCTION_REWRITER
    context = FUNCTION_REWRITER.get_context(
        'tests.deploy.toy_classifier.ToyClassifier.forward')
    return torch.softmax(context.origin_func(self, inputs, data_samples, mode), 1)


@CODEBASE.register_module('tests')
class ToyCodebase(MMCodebase):
    """Codebase of the toy."""
    task_registry = TOY_TASKS

    @classmethod
    def register_all_modules(cls) -> None:
        """Importing this module registers everything."""


@TOY_TASKS.register_module(TASK)
class ToyClassification(BaseTask):
    """Deployment task of the toy; an input is the text of a seed."""

    drawable = False

    def build_backend_model(self, *args, **kwargs) -> None:
        """Nothing runs a backend model here."""

    def create_input(self, imgs: str, input_shape=None, data_preprocessor=None, **kwargs):
        """A picture of noise and no data samples."""
        generator = torch.Generator().manual_seed(len(imgs))
        inputs = torch.randn(1, 3, 16, 16, generator=generator)
        return {'inputs': inputs, 'data_samples': None}, inputs

    def visualize(self, *args, **kwargs) -> None:
        """Nothing to draw."""

    def get_model_name(self, *args, **kwargs) -> str:
        """Name of the model."""
        return 'toy'

    def get_preprocess(self, *args, **kwargs) -> list:
        """The SDK does not know the toy."""
        return []

    def get_postprocess(self, *args, **kwargs) -> dict:
        """The SDK does not know the toy."""
        return {}

    @staticmethod
    def get_partition_cfg(partition_type: str, **kwargs) -> dict:
        """The toy is exported whole."""
        raise NotImplementedError(partition_type)


def toy_configs(kind: type[BaseModel] = ToyClassifier) -> tuple[Config, Config]:
    """Deploy config and model config."""
    model = dict(type=kind.__name__, data_preprocessor=dict(type='BaseDataPreprocessor'))
    return Config(DEPLOY_CFG), Config(dict(default_scope='mmengine', model=model))


def toy_model(kind: type[BaseModel] = ToyClassifier) -> BaseModel:
    """The model with random weights, in eval mode."""
    torch.manual_seed(0)
    return kind().eval()


def save_toy(folder: Path, kind: type[BaseModel] = ToyClassifier) -> None:
    """Write its checkpoint, quant.json and an input."""
    model = toy_model(kind)
    torch.save({'state_dict': model.state_dict()}, folder / 'toy.pth')
    infos = quantize_model(model, QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8)))
    calibrate(model, noise(4))
    fix_bits(model)
    save_quant(folder / 'quant.json', model, infos)
    (folder / 'image').touch()


def deploy_toy(folder: Path, work_dir: Path, kind: type[BaseModel] = ToyClassifier,
               **options: object) -> dict:
    """Deploy what :func:`save_toy` wrote; returns the report."""
    return deploy(*toy_configs(kind), str(folder / 'toy.pth'), str(folder / 'image'),
                  DeployOptions(work_dir=str(work_dir), rounds=0, draw=False, **options))


def noise(count: int) -> list[Tensor]:
    """Inputs."""
    generator = np.random.default_rng(0)
    return [torch.from_numpy(generator.standard_normal((1, 3, 16, 16)).astype(np.float32))
            for _ in range(count)]
