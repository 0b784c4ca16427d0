"""MMDeploy's task of classification, on the input that the test pipeline really gives."""
from __future__ import annotations

import copy

from mmdeploy.codebase.mmpretrain.deploy.classification import MMPRETRAIN_TASK, Classification
from mmdeploy.utils import Task, get_input_shape
from mmengine.config import Config

from razor_ext.engine.errors import DeployError

from .image_size import image_size, test_dataset


@MMPRETRAIN_TASK.register_module(Task.CLASSIFICATION.value, force=True)
class ImageClassification(Classification):
    """Deployment of an image classifier, in the place of MMDeploy's own task.

    MMDeploy's prepares an image by the name `test_pipeline` of the config, which may be missing or
    that of an inherited config, and only warns where a static export has another size.

    Args:
        model_cfg: Config with the model's `test_dataloader`, or a `test_pipeline`.
        deploy_cfg: MMDeploy's deployment config.
        device: Device name.

    Raises:
        DeployError: If the config says nothing of the test images, or these are not of the size of
            a static export.
    """

    def __init__(self, model_cfg: Config, deploy_cfg: Config, device: str) -> None:
        model_cfg = copy.deepcopy(model_cfg)
        pipeline = test_dataset(model_cfg).get('pipeline') or model_cfg.get('test_pipeline')
        if not pipeline:
            raise DeployError(
                f'{model_cfg.filename} has no `test_dataloader` and no `test_pipeline`: a '
                'classifier is deployed on what its test images are; give the config one')
        model_cfg.test_pipeline = pipeline
        model_cfg.setdefault('visualizer', dict(type='UniversalVisualizer'))
        size, found = get_input_shape(deploy_cfg), image_size(pipeline)
        if size is not None and found is not None and tuple(size) != found:
            raise DeployError(
                f'`input_shape` of {deploy_cfg.filename} is {list(size)} (width, height), but the '
                f'test pipeline gives images of {list(found)}; set '
                f'onnx_config.input_shape={list(found)}')
        super().__init__(model_cfg, deploy_cfg, device)
