"""MMRazor's demo inputs for mmpose, and for the models it pads to a divisor."""
from __future__ import annotations

import importlib
import inspect
from typing import Any

import torch
from torch import nn

from .repair import RepairSpec

_DEMO_INPUTS = 'mmrazor.models.task_modules.demo_inputs'


def mend_rtm_head() -> bool:
    """Give ``mmpose.models.heads`` the name MMRazor looks for."""
    heads = importlib.import_module('mmpose.models.heads')
    if hasattr(heads, 'RTMHead'):
        return False
    heads.RTMHead = heads.RTMCCHead
    return True


def image_shape(model: Any, input_shape: tuple[int, ...],
                default_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the [N, C, H, W] shape of a pose model's demo input.

    Args:
        model: A top-down pose estimator; its codec knows the input size, as (width, height).
        input_shape: The shape asked for; obeyed unless it is MMRazor's default.
        default_shape: MMRazor's default, which no one asked for.
    """
    if tuple(input_shape) != tuple(default_shape):
        return tuple(input_shape)
    width, height = model.head.decoder.input_size
    return (1, 3, height, width)


def mend_pose_input_shape() -> bool:
    """Make the demo input of a pose model obey ``input_shape``.

    Upstream passes the shape in the place of ``for_training`` and always makes one image with
    width and height exchanged. Of a head that it does not know (RTMW) the image is without people,
    which tracing does not look at.
    """
    upstream = importlib.import_module(f'{_DEMO_INPUTS}.mmpose_demo_input').demo_mmpose_inputs
    if 'input_shape' in inspect.signature(upstream).parameters:
        return False
    demo_inputs = importlib.import_module(f'{_DEMO_INPUTS}.demo_inputs')

    def _get_mm_data(self: Any, model: nn.Module, input_shape: tuple[int, ...],
                     training: bool = False) -> dict:
        shape = image_shape(model, input_shape, demo_inputs.BaseDemoInput.default_shape)
        inputs = torch.rand(shape, device=next(model.parameters()).device)
        try:
            samples = upstream(model, bool(training), batch_size=shape[0])['data_samples']
        except AssertionError:  # a head that is not predefined
            samples = None
        return {'inputs': inputs, 'data_samples': samples}

    demo_inputs.DefaultMMPoseDemoInput._get_mm_data = _get_mm_data
    return True


def mend_bottom_up_input() -> bool:
    """Trace bottom-up estimators on images without people, which tracing does not look at.

    Upstream sends them through mmpose's data preprocessor, which fails without people.
    """
    defaults = importlib.import_module(f'{_DEMO_INPUTS}.default_demo_inputs')
    estimator = importlib.import_module('mmpose.models').BottomupPoseEstimator
    if estimator in defaults.default_demo_input_class:
        return False

    def _get_mm_data(self: Any, model: nn.Module, input_shape: tuple[int, ...],
                     training: bool = False) -> dict:
        device = next(model.parameters()).device
        return {'inputs': torch.rand(tuple(input_shape), device=device), 'data_samples': None}

    demo_input = type('BottomUpDemoInput', (defaults.DefaultMMDemoInput, ),
                      {'_get_mm_data': _get_mm_data})
    defaults.default_demo_input_class[estimator] = demo_input
    defaults.default_demo_input_class.move_to_end(estimator, last=False)
    return True


REPAIRS = (
    RepairSpec(
        'mmrazor-rtm-head', 'mmrazor',
        'the demo input of mmpose models imports RTMHead, which mmpose calls RTMCCHead',
        mend_rtm_head, needs=('mmpose',)),
    RepairSpec(
        'mmrazor-pose-input-shape', 'mmrazor',
        'the demo input of mmpose models ignores input_shape and exchanges width and height',
        mend_pose_input_shape, needs=('mmpose',)),
    RepairSpec(
        'mmrazor-bottom-up-input', 'mmrazor',
        'the demo input of bottom-up mmpose models fails in the data preprocessor',
        mend_bottom_up_input, needs=('mmpose',)),
)
