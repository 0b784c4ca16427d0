"""What the config of a run says of a detector: the size of its images."""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

#: Transforms that set the size, and their argument: (width, height).
SIZES = {'Resize': 'scale', 'FixScaleResize': 'scale', 'Pad': 'size', 'LetterResize': 'scale',
         'YOLOv5KeepRatioResize': 'scale'}


def test_pipeline(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the transforms that the test images go through, [] where the config has none.

    `test_dataloader` goes first: the name `test_pipeline` of a config that inherits may be that of
    the config below.
    """
    for dataset in _datasets(config, 'test_dataloader'):
        if 'pipeline' in dataset:
            return list(dataset['pipeline'])
    return list(config.get('test_pipeline') or ())


def image_size(pipeline: Sequence[Mapping[str, Any]], divisor: int = 1) -> tuple[int, int] | None:
    """Return width and height of the largest landscape image that a pipeline gives.

    Args:
        pipeline: Transforms of the test images.
        divisor: The data preprocessor pads to multiples of it.

    Returns:
        (width, height); None where no transform sets a size.
    """
    size: tuple[int, int] | None = None
    for transform in pipeline:
        name = str(transform.get('type')).rpartition('.')[2]
        given = transform.get(SIZES.get(name, ''))
        if given is not None:
            size = (given, given) if isinstance(given, int) else (given[0], given[1])
        elif name == 'Pad' and size is not None:
            if transform.get('pad_to_square'):
                size = (max(size), max(size))
            if transform.get('size_divisor'):
                size = _round_up(size, transform['size_divisor'])
    return None if size is None else _round_up(size, divisor)


def input_shape(config: Mapping[str, Any], architecture: Mapping[str, Any],
                ) -> tuple[int, ...] | None:
    """Return the shape of one test image of a detector.

    Args:
        config: Of a run.
        architecture: Of the dense model.

    Returns:
        (1, 3, height, width); None for another model, or where no size is set.
    """
    scope, _, _ = str(architecture.get('type')).rpartition('.')
    if (scope or config.get('default_scope')) != 'mmdet':
        return None
    preprocessor = architecture.get('data_preprocessor') or {}
    size = image_size(test_pipeline(config), preprocessor.get('pad_size_divisor', 1))
    return None if size is None else (1, 3, size[1], size[0])


def _datasets(config: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """Give the data set of a loader, and what it wraps."""
    dataset = (config.get(key) or {}).get('dataset')
    while isinstance(dataset, Mapping):
        yield dataset
        dataset = dataset.get('dataset')


def _round_up(size: tuple[int, int], divisor: int) -> tuple[int, int]:
    width, height = (math.ceil(side / divisor) * divisor for side in size)
    return width, height
