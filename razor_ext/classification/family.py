"""Image classification with mmpretrain as a model family."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from razor_ext.engine.families import Deployment, Distillation, Family

from .image_size import input_shape

if TYPE_CHECKING:
    from torch import nn


#: Type of mmpretrain's classifiers.
CLASSIFIER = 'mmpretrain.models.classifiers.image.ImageClassifier'


def image_shape(model: nn.Module) -> tuple[int, ...]:
    """Return the shape of one image: the backbone's where it is built for one size.

    Args:
        model: mmpretrain's classifier. That of a run comes from its test images.
    """
    size = getattr(getattr(model, 'backbone', None), 'img_size', None)
    return (1, 3, *(size or (224, 224)))


def random_image(generator: np.random.Generator) -> np.ndarray:
    """Draw an image, uint8 [height, width, 3]."""
    return generator.integers(0, 255, (64, 64, 3), np.uint8)


FAMILY = Family(
    name='classification',
    requires=('mmengine', 'mmpretrain'),
    modules=('razor_ext.classification.fixers', 'razor_ext.classification.quantized',
             'razor_ext.classification.hooks'),
    deploy_modules=('razor_ext.classification.deployment', ),
    hooks=('razor_ext.ClassCountHook', ),
    demo_inputs={CLASSIFIER: image_shape},
    deployments={CLASSIFIER: Deployment(
        codebase=dict(type='mmpretrain', task='Classification'), input_names=('input', ),
        output_names=('output', ))},
    distillations={CLASSIFIER: Distillation(('head.forward', ), 'logits')},
    config_input=input_shape,
    samples={'Classification': random_image})
