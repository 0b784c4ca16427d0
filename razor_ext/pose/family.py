"""Human pose estimation as a model family."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from razor_ext.engine.families import Family

if TYPE_CHECKING:
    from torch import nn


def codec_shape(model: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of one image for a top-down estimator, None where its head has no codec.

    Args:
        model: MMPose's estimator; its codec knows the input size, as (width, height).
    """
    size = getattr(getattr(getattr(model, 'head', None), 'decoder', None), 'input_size', None)
    return None if size is None else (1, 3, size[1], size[0])


def random_image(generator: np.random.Generator) -> np.ndarray:
    """Draw an image, uint8 [height, width, 3]."""
    return generator.integers(0, 255, (64, 48, 3), np.uint8)


FAMILY = Family(
    name='pose',
    requires=('mmengine', 'mmpose'),
    modules=('razor_ext.pose.datasets', 'razor_ext.pose.quantized', 'razor_ext.pose.fixers'),
    demo_inputs={'mmpose.models.pose_estimators.topdown.TopdownPoseEstimator': codec_shape},
    samples={'PoseDetection': random_image})
