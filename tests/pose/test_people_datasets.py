from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.evaluation.metrics import AUC, CocoMetric, PCKAccuracy
from mmpose.registry import DATASETS
from mmpose.structures import PoseDataSample

SCENE = {'size': (96, 128), 'people': (1, 2)}
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
PIPELINE = [{'type': 'LoadImage'}, {'type': 'GetBBoxCenterScale'},
            {'type': 'TopdownAffine', 'input_size': (96, 128)}, {'type': 'PackPoseInputs'}]
TYPES = {17: 'SyntheticPeople', 26: 'SyntheticPeopleHalpe26'}


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp('people'))


def _dataset(root: str, points: int, pipeline: list | None = None):
    init_default_scope('mmpose')
    return DATASETS.build({
        'type': TYPES[points], 'data_root': root, 'split': 'val', 'num_images': 20, 'scene': SCENE,
        'test_mode': True, 'pipeline': PIPELINE if pipeline is None else pipeline})


def _predict_truth(dataset, shift: float = 0.) -> list[dict]:
    out = []
    for i in range(len(dataset)):
        sample: PoseDataSample = dataset[i]['data_samples']
        points = sample.gt_instances.keypoints + shift
        sample.pred_instances = InstanceData(
            keypoints=points, keypoint_scores=np.ones(points.shape[:2], np.float32))
        out.append(sample.to_dict())
    return out


@pytest.mark.smoke
@pytest.mark.parametrize('points', [17, 26])
def test_truth_scores_one(root: str, points: int):
    dataset = _dataset(root, points)
    for metric, key, floor in ((CocoMetric(), 'coco/AP', .999), (AUC(), 'AUC', .9),
                               (PCKAccuracy(), 'PCK', .999)):
        metric.dataset_meta = dataset.metainfo
        metric.process({}, _predict_truth(dataset))
        assert metric.evaluate(len(dataset))[key] >= floor
        metric.process({}, _predict_truth(dataset, 12.))
        assert metric.evaluate(len(dataset))[key] < floor


@pytest.mark.parametrize('points', [17, 26])
def test_pipelines_of_mmpose_take_it(root: str, points: int):
    codec = {'type': 'SimCCLabel', 'input_size': (96, 128), 'sigma': (3.4, 3.9),
             'simcc_split_ratio': 2., 'normalize': False, 'use_dark': False}
    dataset = _dataset(root, points, [
        {'type': 'LoadImage'}, {'type': 'GetBBoxCenterScale'}, {'type': 'RandomFlip', 'prob': 1.},
        {'type': 'RandomHalfBody'}, {'type': 'RandomBBoxTransform'},
        {'type': 'TopdownAffine', 'input_size': (96, 128)},
        {'type': 'GenerateTarget', 'encoder': codec}, {'type': 'PackPoseInputs'}])
    assert len(dataset) >= 20
    item = dataset[0]
    assert item['inputs'].shape == (3, 128, 96) and item['inputs'].dtype == torch.uint8
    labels = item['data_samples'].gt_instance_labels
    assert labels.keypoint_x_labels.shape == (1, points, 192)


def test_a_flip_swaps_left_and_right(root: str):
    plain = [{'type': 'LoadImage'}]
    flipped = [*plain, {'type': 'RandomFlip', 'prob': 1.}]
    a, b = _dataset(root, 26, plain), _dataset(root, 26, flipped)
    pairs = a.metainfo['flip_indices']
    for i in range(len(a)):
        here, there = a[i], b[i]
        np.testing.assert_array_equal(there['img'], here['img'][:, ::-1])
        width = here['img'].shape[1]
        expected = here['keypoints'][:, pairs] * (-1, 1) + (width - 1, 0)
        seen = here['keypoints_visible'][:, pairs] > 0
        np.testing.assert_allclose(there['keypoints'][seen], expected[seen], atol=1e-3)


@pytest.mark.parametrize('name', [
    'rtmpose-demo_synthetic-128x96', 'rtmpose-s_synthetic-256x192',
    'rtmpose-t_synthetic-halpe26-256x192'])
def test_configs_train_and_predict(name: str, tmp_path: Path):
    from mmengine.dataset import pseudo_collate
    from mmpose.registry import MODELS
    init_default_scope('mmpose')
    cfg = Config.fromfile(CONFIGS / f'pose/{name}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.update(data_root=str(tmp_path), num_images=4)
    train, val = (DATASETS.build(x.dataset) for x in (cfg.train_dataloader, cfg.val_dataloader))
    model = MODELS.build(cfg.model)
    batch = model.data_preprocessor(pseudo_collate([train[i] for i in range(2)]), True)
    loss = model.loss(**batch)['loss_kpt']
    loss.backward()
    assert torch.isfinite(loss)
    model.eval()
    with torch.no_grad():
        out = model.val_step(pseudo_collate([val[0]]))
    points = 26 if 'halpe26' in name else 17
    assert out[0].pred_instances.keypoints.shape == (1, points, 2)


@pytest.mark.parametrize('points', [17, 26])
def test_mmdeploy_finds_the_keypoints(points: int):
    pose_detection = pytest.importorskip('mmdeploy.codebase.mmpose.deploy.pose_detection')
    config = Config(dict(test_dataloader=dict(dataset=dict(type=TYPES[points]))))
    assert pose_detection._get_dataset_metainfo(config)['num_keypoints'] == points
