"""Annotations in COCO's format are looked at before a run depends on them."""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .request import RequestError

#: COCO's own largest file has 0.45 GB.
MAX_BYTES = 4 << 30


def check_annotations(path: Path) -> None:
    """Refuse a file of annotations that no data set in COCO's format can be made of.

    Args:
        path: the file.

    Raises:
        RequestError: names the file, the entry, the key and the value.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise RequestError(f'{path} has {size:,} bytes, more than {MAX_BYTES:,}')
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too deep
        raise RequestError(f'{path} is no JSON: {str(error)[:200]}') from error
    tables = {}
    for key in ('images', 'annotations', 'categories'):
        table = content.get(key) if isinstance(content, dict) else None
        if not isinstance(table, list) or not table or not all(
                isinstance(row, dict) for row in table):
            raise RequestError(f'{path}: {key} is {table!r:.100}, but must be a list of objects, '
                               "as in COCO's format")
        tables[key] = table
    categories = _by_id(path, 'categories', tables['categories'])
    images = _by_id(path, 'images', tables['images'])
    _by_id(path, 'annotations', tables['annotations'])
    for number, image in enumerate(tables['images']):
        _check_image(path, number, image)
    for number, annotation in enumerate(tables['annotations']):
        _check_annotation(path, number, annotation, images, categories)


def _by_id(path: Path, table: str, rows: Sequence[Mapping[str, Any]]) -> dict[Any, Mapping]:
    found: dict[Any, Mapping] = {}
    for number, row in enumerate(rows):
        name = row.get('id')
        if type(name) not in (int, str) or name in found:
            _fail(path, table, number, 'id', name, 'a number or a text of its own')
        found[name] = row
    return found


def _check_image(path: Path, number: int, image: Mapping[str, Any]) -> None:
    name = image.get('file_name')
    if not isinstance(name, str) or not name or '\0' in name:
        _fail(path, 'images', number, 'file_name', name, 'a path')
    for key in ('width', 'height'):
        value = image.get(key)
        if type(value) is not int or not 0 < value < 2 ** 31:
            _fail(path, 'images', number, key, value, 'a positive integer')


def _check_annotation(path: Path, number: int, row: Mapping[str, Any], images: Mapping,
                      categories: Mapping) -> None:
    for key, table, known in (('image_id', 'images', images),
                              ('category_id', 'categories', categories)):
        if type(row.get(key)) not in (int, str) or row[key] not in known:
            _fail(path, 'annotations', number, key, row.get(key), f'an id of {table}')
    points = categories[row['category_id']].get('keypoints')
    lengths = dict(bbox=4, keypoints=3 * len(points) if isinstance(points, list) else None)
    for key, length in lengths.items():
        value = row.get(key)
        if key == 'keypoints' and key not in row:
            continue
        if not isinstance(value, list) or not all(map(_is_number, value)) or (
                len(value) % 3 if length is None else len(value) != length):
            _fail(path, 'annotations', number, key, value,
                  f'{"three for each keypoint" if length is None else length} finite numbers')
    for key in ('area', 'num_keypoints', 'iscrowd'):
        if key in row and not _is_number(row[key]):
            _fail(path, 'annotations', number, key, row[key], 'a finite number')


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e18 and math.isfinite(value)


def _fail(path: Path, table: str, number: int, key: str, value: Any, wanted: str) -> NoReturn:
    raise RequestError(f'{path}: {table}[{number}].{key} is {value!r:.100}, but must be {wanted}')
