"""Where the people of an image are."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from razor_ext.engine.errors import DeployError
from razor_ext.pose.boxes import annotated_boxes, boxes_of_file, given_boxes


def write_set(folder: Path) -> dict[str, Any]:
    """Write an image with two people, and one with none; return the annotations."""
    (folder / 'photos').mkdir(parents=True)
    for name in ('a.jpg', 'b.jpg'):
        cv2.imwrite(str(folder / 'photos' / name), np.zeros((90, 120, 3), np.uint8))
    people = [dict(id=index, image_id=1, category_id=1, iscrowd=0, area=1, num_keypoints=17,
                   bbox=box, keypoints=[9, 9, 2] * 17)
              for index, box in enumerate(([5, 6, 10, 20], [30, 6, 40, 50]))]
    content = dict(images=[dict(id=1, file_name='a.jpg', width=120, height=90),
                           dict(id=2, file_name='b.jpg', width=120, height=90)],
                   annotations=people, categories=[dict(id=1, name='person')])
    (folder / 'people.json').write_text(json.dumps(content))
    return content


def config(root: Path, **dataset: Any) -> Config:
    return Config(dict(default_scope='mmpose', test_dataloader=dict(dataset=dict(
        type='CocoDataset', data_root=str(root), ann_file='people.json',
        data_prefix=dict(img='photos/'), bbox_file='of_a_detector.json', **dataset))))


def test_the_test_set_says_where_its_people_are_the_largest_first(tmp_path: Path) -> None:
    write_set(tmp_path)
    cfg = config(tmp_path)
    expected = [[30, 6, 70, 56], [5, 6, 15, 26]]
    np.testing.assert_array_equal(annotated_boxes(cfg, str(tmp_path / 'photos/a.jpg')), expected)
    joined = Config(dict(default_scope='mmpose', test_dataloader=dict(dataset=dict(
        type='CombinedDataset', datasets=[cfg.test_dataloader.dataset]))))
    np.testing.assert_array_equal(annotated_boxes(joined, str(tmp_path / 'photos/a.jpg')),
                                  expected)
    assert annotated_boxes(cfg, str(tmp_path / 'photos/b.jpg')).shape == (0, 4)


def test_an_image_of_elsewhere_and_a_set_that_is_not_there_have_no_boxes(tmp_path: Path) -> None:
    write_set(tmp_path / 'set')
    cv2.imwrite(str(tmp_path / 'a.jpg'), np.zeros((9, 9, 3), np.uint8))
    assert not len(annotated_boxes(config(tmp_path / 'set'), str(tmp_path / 'a.jpg')))
    (tmp_path / 'set' / 'people.json').unlink()
    assert not len(annotated_boxes(config(tmp_path / 'set'),
                                   str(tmp_path / 'set/photos/a.jpg')))


def test_boxes_of_a_file(tmp_path: Path) -> None:
    write_set(tmp_path)
    found = boxes_of_file(tmp_path / 'people.json', 'elsewhere/a.jpg')
    assert sorted(found.tolist()) == [[5, 6, 15, 26], [30, 6, 70, 56]]
    path = tmp_path / 'detected.json'
    path.write_text(json.dumps([
        dict(image_id=785, bbox=[0, 0, 5, 5], score=.5), dict(image_id=3, bbox=[0, 0, 1, 1]),
        dict(image_id=785, bbox=[1, 2, 5, 5], score=.9),
        dict(file_name='x/b.jpg', bbox=[0, 0, 2, 2])]))
    assert boxes_of_file(path, '000000000785.jpg').tolist() == [[1, 2, 6, 7], [0, 0, 5, 5]]
    assert boxes_of_file(path, 'b.jpg').tolist() == [[0, 0, 2, 2]]
    with pytest.raises(DeployError, match=r'detected\.json.* has no box of c\.jpg'):
        boxes_of_file(path, 'c.jpg')


@pytest.mark.parametrize('content', ['{', '{}', '[{"image_id": 1, "bbox": "here"}]', '[3]',
                                     '[{"image_id": 1}]', '[{"image_id": 1, "bbox": [0, 0, 0, 9]}]',
                                     '[{"image_id": 1, "bbox": [0, 0, 9, NaN]}]'])
def test_a_file_that_holds_no_boxes_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / 'boxes.json'
    path.write_text(content)
    with pytest.raises(DeployError, match=r'boxes\.json'):
        boxes_of_file(path, '1.jpg')


def test_a_box_has_four_numbers_and_an_area() -> None:
    np.testing.assert_array_equal(given_boxes([(1, 2, 3, 4)]), [[1, 2, 4, 6]])
    for box in ((1, 2, 3), (1, 2, -3, 4), (1, 2, float('inf'), 4), 'abcd'):
        with pytest.raises(DeployError, match='box'):
            given_boxes([box])
