"""Gait recognition as a model family."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from razor_ext.engine.families import Deployment, Distillation, Family

if TYPE_CHECKING:
    from torch import nn

#: Frames of a random sequence.
FRAMES = 30


def random_silhouettes(generator: np.random.Generator) -> np.ndarray:
    """Draw a sequence of silhouettes, uint8 [frames, height, width] of 0 and 255."""
    return generator.integers(0, 2, (FRAMES, 64, 64)).astype(np.uint8) * 255


def demo_clip(model: nn.Module) -> tuple[int, ...]:
    """Give the shape that a recogniser is traced on.

    Six frames: two steps of the temporal convolutions, which take three at once.
    """
    return 1, getattr(model.backbone, 'in_channels', 1), 6, 64, 44


def distillation(model: Any) -> Distillation:
    """Return what is distilled of a recogniser: embeddings, and logits where it has a classifier.

    Args:
        model: the recogniser.
    """
    methods = ('head.embed', ) if model.head.loss_cls is None else ('head.embed',
                                                                    'head.classify')
    return Distillation(methods, 'gait', teacher_mode='loss')


RECOGNIZER = 'razor_ext.gait.models.recognizer.GaitRecognizer'

FAMILY = Family(
    name='gait',
    requires=('mmengine', 'mmcv'),
    modules=('razor_ext.gait.models', 'razor_ext.gait.datasets', 'razor_ext.gait.evaluation',
             'razor_ext.gait.hooks', 'razor_ext.gait.quantized', 'razor_ext.gait.rows'),
    deploy_modules=('razor_ext.gait.deploy.codebase', ),
    demo_inputs={RECOGNIZER: demo_clip},
    # The channels of the embedding are inner ones of what is trained.
    pruned_as={RECOGNIZER: {'tensor_output': 'logits'}},
    deployments={RECOGNIZER: Deployment(
        codebase=dict(type='razor_ext', task='GaitRecognition',
                      module=['razor_ext.gait.deploy.codebase']),
        input_names=('input', ), output_names=('embedding', ),
        dynamic_axes=dict(input={0: 'batch', 2: 'frames'}, embedding={0: 'batch'}))},
    distillations={RECOGNIZER: distillation},
    samples={'GaitRecognition': random_silhouettes})
