"""Where the people of an image are: boxes given, of a file, or of the annotations of a test set."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from razor_ext.engine.errors import DeployError


def given_boxes(boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the corners of boxes.

    Args:
        boxes: each x, y, width and height, in pixels.

    Returns:
        float32 [n, 4]: left, top, right, bottom.

    Raises:
        DeployError: a box is none.
    """
    corners = []
    for box in boxes:
        try:
            x, y, width, height = (float(value) for value in box)
        except (TypeError, ValueError):
            raise DeployError(f'box {box!r} is no x, y, width, height') from None
        if not (np.isfinite([x, y, width, height]).all() and width > 0 and height > 0):
            raise DeployError(f'box {list(box)} must have finite numbers, and a width and a height '
                              'above 0')
        corners.append([x, y, x + width, y + height])
    return np.array(corners, np.float32).reshape(-1, 4)


def boxes_of_file(path: str | os.PathLike, image: str) -> np.ndarray:
    """Return the boxes that a file has for an image, the most certain first.

    Args:
        path: JSON: annotations in COCO's format, or a list of detections, each with `bbox` (x, y,
            width, height), perhaps `score`, and `file_name` or `image_id`, the number that is the
            name of the image in COCO.
        image: file of the image.

    Raises:
        DeployError: the file cannot be read, or has none of the image.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        names: dict[Any, str] = {}
        if isinstance(content, Mapping):
            names = {entry['id']: entry['file_name'] for entry in content['images']}
            content = content['annotations']
        found = [entry for entry in content if _is_of(entry, names, Path(image))]
        found.sort(key=lambda entry: -entry.get('score', 1.))
        boxes = given_boxes([entry['bbox'] for entry in found])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeployError(f'{os.fspath(path)!r} holds no boxes ({type(error).__name__}: {error}); '
                          "give annotations in COCO's format, or a list of detections with bbox "
                          'and file_name or image_id') from error
    if not len(boxes):
        raise DeployError(f'{os.fspath(path)!r} has no box of {image}: give an image that it has, '
                          "or add the person's bbox")
    return boxes


def _is_of(entry: Mapping[str, Any], names: Mapping[Any, str], image: Path) -> bool:
    name = entry.get('file_name', names.get(entry.get('image_id')))
    if name is not None:
        return Path(name).name == image.name
    return image.stem.isdecimal() and int(image.stem) == entry.get('image_id')


def annotated_boxes(cfg: Config, image: str) -> np.ndarray:
    """Return the boxes that the test set of a config annotates on an image, the largest first.

    Args:
        cfg: of a top-down model.
        image: file of the image.

    Returns:
        float32 [n, 4], corners; empty where the image is none of the set's.
    """
    found = []
    for dataset in _datasets((cfg.get('test_dataloader') or {}).get('dataset')):
        if not _may_hold(dataset, Path(image)):
            continue
        options = ConfigDict(dataset, lazy_init=True, test_mode=True, pipeline=[])
        # Of people on whom the model is tested, not of what some detector has found.
        options.pop('bbox_file', None)
        for sample in _build(options, cfg).load_data_list():
            if os.path.realpath(sample['img_path']) == os.path.realpath(image):
                found.append(np.asarray(sample['bbox'], np.float32).reshape(-1, 4))
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *found])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return boxes[np.argsort(-areas, kind='stable')]


def _datasets(dataset: Any) -> Iterator[ConfigDict]:
    if isinstance(dataset, Mapping):
        if 'datasets' not in dataset:
            yield ConfigDict(dataset)
        for part in dataset.get('datasets', ()):
            yield from _datasets(part)


def _may_hold(dataset: Mapping[str, Any], image: Path) -> bool:
    """Whether a set is there and has the image below it: building one may take long."""
    root = Path(dataset.get('data_root') or '.')
    if not image.resolve().is_relative_to(root.resolve()):
        return False
    annotations = dataset.get('ann_file')
    return annotations is None or (root / annotations).is_file()


def _build(options: ConfigDict, cfg: Config) -> Any:
    from mmpose.registry import DATASETS
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpose')):
        return DATASETS.build(options)
