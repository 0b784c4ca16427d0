"""Annotations in COCO's format that no data set can be made of."""
from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from razor_ext.workflow.annotations import check_annotations
from razor_ext.workflow.request import RequestError

GOOD: dict[str, Any] = dict(
    images=[dict(id=1, file_name='a.png', width=64, height=48)],
    annotations=[dict(id=1, image_id=1, category_id=7, bbox=[1, 2, 3.5, 4], area=14.0,
                      keypoints=[1, 2, 2, 0, 0, 0])],
    categories=[dict(id=7, name='person', keypoints=['a', 'b'])])


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_what_is_whole_is_accepted(tmp_path: Path) -> None:
    check_annotations(write(tmp_path / 'a.json', GOOD))
    boxes = copy.deepcopy(GOOD)
    del boxes['annotations'][0]['keypoints']
    check_annotations(write(tmp_path / 'b.json', boxes))


@pytest.mark.parametrize(('table', 'key', 'value'), [
    ('images', 'id', None), ('images', 'id', [1]), ('images', 'file_name', 3),
    ('images', 'width', -1), ('images', 'height', 1.5), ('annotations', 'image_id', 2),
    ('annotations', 'category_id', {}), ('annotations', 'bbox', [1, 2, 3]),
    ('annotations', 'bbox', [1, 2, 3, float('nan')]), ('annotations', 'bbox', None),
    ('annotations', 'keypoints', [1, 2, 2]), ('annotations', 'keypoints', 'x' * 10 ** 5),
    ('annotations', 'area', '14'), ('categories', 'id', True)])
def test_what_cannot_be_is_named(tmp_path: Path, table: str, key: str, value: Any) -> None:
    content = copy.deepcopy(GOOD)
    content[table][0][key] = value
    path = write(tmp_path / 'a.json', content)
    with pytest.raises(RequestError) as caught:
        check_annotations(path)
    assert f'{path}: {table}[0].{key} is ' in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize('content', [b'', b'[', b'[' * 100_000, b'\xff', b'3', b'{"images": []}'])
def test_what_is_no_such_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'a.json'
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r'a\.json'):
        check_annotations(path)
