"""Object detection as a model family: MMDetection's one-stage detectors."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from razor_ext.engine.families import Deployment, Distillation, Family

from .config import input_shape

if TYPE_CHECKING:
    from torch import nn

#: Of a detector that is built without the config of a run: the input of most one-stage detectors.
DEFAULT_SHAPE = (1, 3, 640, 640)


def default_shape(model: nn.Module) -> tuple[int, ...]:
    """Return the shape of one image; that of a run comes from its test pipeline."""
    return DEFAULT_SHAPE


def refuse(model: nn.Module) -> None:
    """Refuse a detector that cannot be traced.

    Raises:
        UnsupportedDetectorError: always.
    """
    from .errors import UnsupportedDetectorError
    raise UnsupportedDetectorError(model)


def deployment(model: nn.Module) -> Deployment | None:
    """Return how a detector is exported; None for one whose file returns masks as well."""
    if hasattr(model.bbox_head, 'num_prototypes'):
        return None
    return Deployment(
        codebase=dict(
            type='mmdet', task='ObjectDetection', model_type='end2end', post_processing=dict(
                score_threshold=0.05, confidence_threshold=0.005, iou_threshold=0.5,
                max_output_boxes_per_class=300, pre_top_k=5000, keep_top_k=300,
                background_label_id=-1)),
        input_names=('input', ), output_names=('dets', 'labels'))


def random_image(generator: np.random.Generator) -> np.ndarray:
    """Draw an image, uint8 [height, width, 3]."""
    return generator.integers(0, 255, (480, 640, 3), np.uint8)


_DETECTORS = 'mmdet.models.detectors'
FAMILY = Family(
    name='detection',
    requires=('mmengine', 'mmdet'),
    modules=('razor_ext.detection.hooks', ),
    deploy_modules=('razor_ext.detection.deploy.task', ),
    hooks=('razor_ext.DetectorClassesHook', ),
    demo_inputs={
        f'{_DETECTORS}.single_stage.SingleStageDetector': default_shape,
        f'{_DETECTORS}.base.BaseDetector': refuse},
    deployments={f'{_DETECTORS}.single_stage.SingleStageDetector': deployment},
    distillations={f'{_DETECTORS}.single_stage.SingleStageDetector': Distillation(
        ('bbox_head.forward', ), 'outputs')},
    config_input=input_shape,
    samples={'ObjectDetection': random_image})
