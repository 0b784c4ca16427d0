"""Image classification with mmpretrain as a model family."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from razor_ext.engine.families import Family

from .image_size import input_shape

if TYPE_CHECKING:
    from torch import nn


def backbone_shape(model: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of one image where the backbone is built for one size, else None.

    Args:
        model: mmpretrain's classifier.
    """
    size = getattr(getattr(model, 'backbone', None), 'img_size', None)
    return None if size is None else (1, 3, *size)


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
    demo_inputs={'mmpretrain.models.classifiers.image.ImageClassifier': backbone_shape},
    config_input=input_shape,
    samples={'Classification': random_image})
