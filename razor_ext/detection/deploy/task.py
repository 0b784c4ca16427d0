"""MMDeploy's task of object detection, on the input that the test pipeline really gives."""
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdeploy.codebase.mmdet.deploy.object_detection import MMDET_TASK, ObjectDetection
from mmdeploy.utils import Task, get_input_shape, is_dynamic_shape
from mmdet.models.detectors.single_stage import SingleStageDetector
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn

from razor_ext.detection.config import image_size, test_pipeline
from razor_ext.detection.errors import UnsupportedDetectorError
from razor_ext.engine.errors import DeployError

from . import rewriters


@MMDET_TASK.register_module(Task.OBJECT_DETECTION.value, force=True)
class Detection(ObjectDetection):
    """Deployment of a one-stage detector, in the place of MMDeploy's own task.

    MMDeploy's squeezes an image into the size of a static export; the model was trained, and is
    tested, on images that keep their ratio and are padded.

    Args:
        model_cfg: Config with the model's `test_dataloader`, or a `test_pipeline`.
        deploy_cfg: MMDeploy's deployment config.
        device: Device name.

    Raises:
        DeployError: If the test images are not of the size of a static export.
    """

    def __init__(self, model_cfg: Config, deploy_cfg: Config, device: str) -> None:
        super().__init__(model_cfg, deploy_cfg, device)
        if model_cfg.get('visualizer') is None:
            self.visualizer = ConfigDict(type='mmdet.DetLocalVisualizer')
        self.pipeline = test_pipeline(model_cfg)
        if not self.pipeline:
            raise DeployError(f'{model_cfg.filename} has no `test_dataloader` and no '
                              '`test_pipeline`: a detector is deployed on what its test images are')
        size = get_input_shape(deploy_cfg)
        preprocessor = model_cfg.model.get('data_preprocessor') or {}
        found = image_size(self.pipeline, preprocessor.get('pad_size_divisor', 1))
        if size is not None and found is not None and tuple(size) != found:
            raise DeployError(
                f'`input_shape` of {deploy_cfg.filename} is {list(size)} (width, height), but the '
                f'test pipeline gives images of up to {list(found)}; set '
                f'onnx_config.input_shape={list(found)}, or take a deploy config with dynamic axes')

    def create_input(self, imgs: str | np.ndarray | Sequence, input_shape=None,
                     data_preprocessor: nn.Module | None = None,
                     **kwargs) -> tuple[dict, torch.Tensor]:
        """Prepare images as the test pipeline does, without their annotations.

        Args:
            imgs: Image files or arrays [height, width, 3], BGR.
            input_shape: (width, height) of a static export, which the images must have.
            data_preprocessor: The model's.

        Returns:
            Batch and inputs [n, 3, height, width].

        Raises:
            DeployError: If an image does not exist, or has another size than a static export.
        """
        samples: list[dict] = []
        images: list[Any] = list(imgs) if isinstance(imgs, (list, tuple)) else [imgs]
        for image in images:
            if isinstance(image, str) and not os.path.isfile(image):
                raise DeployError(f'image {image!r} does not exist')
            samples.append(self._prepare(image))
        batch = pseudo_collate(samples)
        if data_preprocessor is None:
            return batch, self.get_tensor_from_input(batch)
        batch = data_preprocessor(batch, False)
        height, width = batch['inputs'].shape[-2:]
        if not is_dynamic_shape(self.deploy_cfg) and input_shape is not None \
                and (width, height) != tuple(input_shape):
            raise DeployError(
                f'the test pipeline makes an image of {width} x {height}, and '
                f'{self.deploy_cfg.filename} exports {input_shape[0]} x {input_shape[1]}: pad the '
                'test images to one size, or take a deploy config with dynamic axes')
        return batch, batch['inputs']

    def _prepare(self, image: str | np.ndarray) -> dict:
        steps = [step for step in self.pipeline if step['type'] != 'LoadAnnotations']
        if isinstance(image, np.ndarray):
            steps[0] = dict(type='mmdet.LoadImageFromNDArray')
        sample = (dict(img=image, img_id=0) if isinstance(image, np.ndarray) else
                  dict(img_path=image, img_id=0))
        with DefaultScope.overwrite_default_scope('mmdet'):
            return Compose(steps)(sample)

    def prepare_reference(self, model: nn.Module) -> None:
        """Refuse what is no one-stage detector.

        Raises:
            UnsupportedDetectorError: If it is none.
        """
        if not isinstance(model, SingleStageDetector):
            raise UnsupportedDetectorError(model)

    def select(self, model: nn.Module, inner: Sequence[torch.Tensor],
               batch: torch.Tensor) -> object:
        """Return what a rewritten detector predicts from outputs of its head.

        Args:
            model: The rewritten torch model.
            inner: Outputs of the head, in order.
            batch: The input [1, 3, height, width] they came from.

        Returns:
            Detections [1, n, 5], labels [1, n], and masks of the detectors that have them.
        """
        detector: Any = model
        outputs = _unflatten(detector.bbox_head(detector.extract_feat(batch)), inner)
        shape = tuple(batch.shape[-2:])
        dets, *others = detector.bbox_head.predict_by_feat(
            *outputs, batch_img_metas=[dict(img_shape=shape)], rescale=False)
        return (rewriters.clip_boxes(dets, shape), *others)


def _unflatten(form: object, tensors: Sequence[torch.Tensor]) -> tuple:
    """Give tensors the nesting of a head's outputs."""
    supply = iter(tensors)

    def fill(item: Any) -> Any:
        return next(supply) if isinstance(item, torch.Tensor) else tuple(map(fill, item))

    return fill(form)
