"""Human pose estimation as a model family."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from razor_ext.engine.families import Deployment, Family

if TYPE_CHECKING:
    from torch import nn


def codec_shape(model: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of one image for a top-down estimator, None where its head has no codec.

    Args:
        model: MMPose's estimator; its codec knows the input size, as (width, height).
    """
    size = getattr(getattr(getattr(model, 'head', None), 'decoder', None), 'input_size', None)
    return None if size is None else (1, 3, size[1], size[0])


def deployment(model: nn.Module) -> Deployment | None:
    """Return how a top-down estimator is exported, None where its head has no codec.

    Args:
        model: MMPose's estimator; a SimCC codec splits its coordinates in two outputs.
    """
    shape = codec_shape(model)
    if shape is None:
        return None
    decoder = getattr(model.head, 'decoder', None)
    simcc = hasattr(decoder, 'simcc_split_ratio')
    return Deployment(
        codebase=dict(type='mmpose', task='PoseDetection', export_postprocess=False),
        input_names=('input', ), output_names=('simcc_x', 'simcc_y') if simcc else ('output', ),
        input_shape=(shape[3], shape[2]))


def random_image(generator: np.random.Generator) -> np.ndarray:
    """Draw an image, uint8 [height, width, 3]."""
    return generator.integers(0, 255, (64, 48, 3), np.uint8)


FAMILY = Family(
    name='pose',
    requires=('mmengine', 'mmpose'),
    modules=('razor_ext.pose.datasets', 'razor_ext.pose.quantized', 'razor_ext.pose.fixers'),
    demo_inputs={'mmpose.models.pose_estimators.topdown.TopdownPoseEstimator': codec_shape},
    deployments={'mmpose.models.pose_estimators.topdown.TopdownPoseEstimator': deployment},
    samples={'PoseDetection': random_image})
