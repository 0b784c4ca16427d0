"""Data of other keypoints than the head's are refused before a run, by both numbers."""
from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.registry import MODELS, DefaultScope
from mmpose.datasets import CocoDataset, CombinedDataset
from tiny_pose import DotPeople, tiny_rtmpose
from torch import nn

from razor_ext.compat.mmengine_datasets import EmptyDatasetError
from razor_ext.engine.families import families
from razor_ext.pose.hooks import KeypointCountError, KeypointCountHook, check_keypoints

from .test_boxes import write_set


@pytest.fixture(scope='module')
def model() -> nn.Module:
    """A head of five keypoints."""
    return MODELS.build(tiny_rtmpose())


def annotations(folder: Path, keypoints: int | None = 17) -> Path:
    content = write_set(folder)
    for person in content['annotations']:
        if keypoints is None:
            del person['keypoints']
        else:
            person['keypoints'] = [9, 9, 2] * keypoints
    path = folder / 'people.json'
    path.write_text(json.dumps(content))
    return path


def points(count: int) -> dict[str, Any]:
    return dict(dataset_name='own', paper_info={}, skeleton_info={}, joint_weights=[1.] * count,
                sigmas=[.05] * count, keypoint_info={index: dict(
                    name=f'point{index}', id=index, color=[0, 0, 0], type='', swap='')
                    for index in range(count)})


def test_a_head_of_another_number_is_named_with_it(model: nn.Module, tmp_path: Path) -> None:
    """It ended in `The size of tensor a must match the size of tensor b`."""
    dataset = CocoDataset(ann_file=str(annotations(tmp_path)))
    runner: Any = SimpleNamespace(model=model)
    for part in ('train', 'val', 'test'):
        setattr(runner, f'{part}_dataloader', SimpleNamespace(dataset=dataset))
        with pytest.raises(KeypointCountError, match=(
                rf'{part}_dataloader have 17 keypoints .* predicts 5: set '
                r'model\.head\.out_channels=17')):
            getattr(KeypointCountHook(), f'before_{part}')(runner)


def test_annotations_of_another_number_than_described(model: nn.Module, tmp_path: Path) -> None:
    """They ended in an IndexError, or trained on what lay at the indices."""
    dataset = CocoDataset(ann_file=str(annotations(tmp_path, 5)))
    with pytest.raises(KeypointCountError, match=(
            r'annotations of val_dataloader \(.*people\.json\) have 5 keypoints .* describes 17')):
        check_keypoints(model, dataset, 'val_dataloader')


def test_what_fits_passes(model: nn.Module, tmp_path: Path) -> None:
    own = CocoDataset(ann_file=str(annotations(tmp_path / 'own', 5)), metainfo=points(5))
    check_keypoints(model, own, 'train_dataloader')
    check_keypoints(nn.Linear(1, 1), own, 'train_dataloader')
    check_keypoints(model, DotPeople(), 'train_dataloader')  # says nothing of its keypoints
    with DefaultScope.overwrite_default_scope('mmpose'):
        check_joined(model, tmp_path)


def check_joined(model: nn.Module, tmp_path: Path) -> None:
    converted = dict(type='CocoDataset', ann_file=str(annotations(tmp_path / 'other')), pipeline=[
        dict(type='KeypointConverter', num_keypoints=5, mapping=[(i, i) for i in range(5)])])
    joined = CombinedDataset(points(5), [converted], pipeline=[])
    check_keypoints(model, joined, 'train_dataloader')
    joined = CombinedDataset(points(5), [dict(converted, pipeline=[])], pipeline=[])
    with pytest.raises(KeypointCountError, match='have 17 keypoints'):
        check_keypoints(model, joined, 'train_dataloader')


def test_annotations_without_keypoints(tmp_path: Path) -> None:
    """They ended in `need at least one array to concatenate`."""
    with pytest.raises(EmptyDatasetError, match=r'people\.json.* no sample left.*`keypoints`'):
        CocoDataset(ann_file=str(annotations(tmp_path, None)))


def test_every_run_of_the_tools_is_checked() -> None:
    assert any('razor_ext.KeypointCountHook' in family.hooks for family in families())
