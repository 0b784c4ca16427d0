"""Human pose estimation as a model family."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from razor_ext.engine.families import Deployment, Distillation, Family

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


def distillation(model: nn.Module) -> Distillation | None:
    """Return what is distilled of a top-down estimator: what its head predicts.

    Args:
        model: MMPose's estimator; SimCC heads predict distributions, the others maps or points.
    """
    decoder = getattr(getattr(model, 'head', None), 'decoder', None)
    simcc = hasattr(decoder, 'simcc_split_ratio')
    return Distillation(('head.forward', ), 'simcc' if simcc else 'outputs')


def bottom_up_shape(model: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of one image for a bottom-up estimator, None where it does not say.

    Args:
        model: MMPose's estimator; RTMO and YOLOX-Pose say it in `test_cfg`, as (width, height).
    """
    size = (getattr(model, 'test_cfg', None) or {}).get('input_size')
    return codec_shape(model) if size is None else (1, 3, size[1], size[0])


def random_image(generator: np.random.Generator) -> np.ndarray:
    """Draw an image, uint8 [height, width, 3]."""
    return generator.integers(0, 255, (64, 48, 3), np.uint8)


BOTTOM_UP = 'mmpose.models.pose_estimators.bottomup.BottomupPoseEstimator'
TOP_DOWN = 'mmpose.models.pose_estimators.topdown.TopdownPoseEstimator'

FAMILY = Family(
    name='pose',
    requires=('mmengine', 'mmpose'),
    modules=('razor_ext.pose.datasets', 'razor_ext.pose.quantized', 'razor_ext.pose.fixers',
             'razor_ext.pose.hooks'),
    hooks=('razor_ext.KeypointCountHook', ),
    deploy_modules=('razor_ext.pose.deploy.task', ),
    demo_inputs={TOP_DOWN: codec_shape, BOTTOM_UP: bottom_up_shape},
    deployments={TOP_DOWN: deployment},
    distillations={TOP_DOWN: distillation},
    samples={'PoseDetection': random_image})
