"""Size of the images that a classifier is tested on, read from the config of a run."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Transforms that set both sides of an image, and the argument that holds (width, height).
SIZES = {'CenterCrop': 'crop_size', 'EfficientNetCenterCrop': 'crop_size',
         'RandomCrop': 'crop_size', 'RandomResizedCrop': 'scale', 'Resize': 'scale', 'Pad': 'size',
         'torchvision/CenterCrop': 'size', 'torchvision/RandomResizedCrop': 'size'}
#: Of torchvision's transforms, whose sizes are (height, width).
TORCHVISION = 'torchvision/'
#: Width and height of the images of data sets that read no files.
STORED = {'CIFAR10': (32, 32), 'CIFAR100': (32, 32), 'MNIST': (28, 28), 'FashionMNIST': (28, 28)}


def test_dataset(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config of the test set, else of the validation set; of the one in a wrapper."""
    loader = config.get('test_dataloader') or config.get('val_dataloader') or {}
    dataset = loader.get('dataset') or {}
    while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    return dataset


def image_size(pipeline: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """Return width and height of the images that a pipeline gives, None where no step sets them.

    Args:
        pipeline: Transforms of the test images.
    """
    size: tuple[int, int] | None = None
    for transform in pipeline:
        name = str(transform.get('type'))
        name = name if name.startswith(TORCHVISION) else name.rpartition('.')[2]
        given = transform.get(SIZES.get(name, ''))
        if isinstance(given, int):
            size = (given, given)
        elif given is not None:
            size = (given[-1], given[0]) if name.startswith(TORCHVISION) else (given[0], given[-1])
    return size


def input_shape(config: Mapping[str, Any], architecture: Mapping[str, Any],
                ) -> tuple[int, ...] | None:
    """Return the shape of one test image of a classifier, None where the config does not say.

    Args:
        config: Of a run.
        architecture: Of the dense model.
    """
    scope, _, _ = str(architecture.get('type')).rpartition('.')
    if (scope or config.get('default_scope')) != 'mmpretrain':
        return None
    dataset = test_dataset(config)
    size = image_size(dataset.get('pipeline') or ()) or STORED.get(
        str(dataset.get('type')).rpartition('.')[2])
    if size is None:
        return None
    preprocessor = architecture.get('data_preprocessor') or config.get('data_preprocessor') or {}
    return (1, len(preprocessor.get('mean') or 'rgb'), size[1], size[0])
