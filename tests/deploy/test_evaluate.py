"""Accuracy of deployed files: the same loop, data and metric for torch and every file."""
from __future__ import annotations

import copy
import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from mmengine.config import Config

from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.evaluate import as_deployed, evaluate, evaluate_file, fixed_batch
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.deploy.report import format_report

from .deploy_scene import DEPLOY_CONFIG, ROOT, pruned_config

PEOPLE = 5


@pytest.fixture(scope='module')
def tested(scene, deploy_cfg, tmp_path_factory) -> Config:
    """Config of the pruned model whose test set is labelled with its own predictions.

    So its AP is high, and any other answer scores less.
    """
    folder = tmp_path_factory.mktemp('people')
    generator = np.random.default_rng(0)
    category = {'id': 1, 'name': 'person', 'keypoints': [str(i) for i in range(17)], 'skeleton': []}
    content = {'images': [], 'annotations': [], 'categories': [category]}
    for number in range(1, PEOPLE + 1):
        coarse = generator.integers(0, 255, (12, 9, 3), np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), cv2.resize(coarse, (192, 256)))
        content['images'].append({'id': number, 'file_name': f'{number}.png', 'width': 192,
                                  'height': 256})
        content['annotations'].append({
            'id': number, 'image_id': number, 'category_id': 1, 'iscrowd': 0, 'area': 40000.,
            'bbox': [10, 10, 170, 230], 'num_keypoints': 17, 'keypoints': [50, 60, 2] * 17})
    labels = folder / 'people.json'
    labels.write_text(json.dumps(content))
    config = pruned_config()
    config.test_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    config.test_dataloader.dataset.update(
        data_root='', ann_file=str(labels), bbox_file=None, data_prefix={'img': f'{folder}/'})
    config.test_evaluator = {'type': 'CocoMetric', 'ann_file': str(labels)}
    model = as_deployed(Conversion(deploy_cfg, config, str(scene / 'pruned.pth')).build_reference())
    found = {}
    original = model.test_step
    model.test_step = lambda batch: [found.setdefault(sample.id, sample)
                                     for sample in original(batch)]
    assert evaluate(model, config)['coco/AP'] < 0.2
    for label in content['annotations']:
        points = found[label['id']].pred_instances.keypoints[0] + 0.3
        label['keypoints'] = np.concatenate([points, np.full((17, 1), 2)], 1).ravel().tolist()
    labels.write_text(json.dumps(content))
    return config


@pytest.fixture(scope='module')
def report(tested, scene, tmp_path_factory) -> tuple[dict, Path]:
    work_dir = tmp_path_factory.mktemp('tested')
    return deploy(Config.fromfile(DEPLOY_CONFIG), tested, str(scene / 'pruned.pth'),
                  str(scene / '0.png'), DeployOptions(work_dir=str(work_dir), rounds=0, draw=False,
                                                      test=True)), work_dir


def test_file_scores_as_torch(report):
    figures = report[0]['accuracy']
    assert set(figures) == {'torch', 'onnx'}
    assert figures['torch']['coco/AP'] > 0.9
    assert figures['onnx'] == pytest.approx(figures['torch'], abs=2e-3)
    last = [line for line in format_report(report[0]).splitlines() if 'coco/' in line]
    assert f'{figures["onnx"]["coco/AP"]:.4f}' in last[0]


def test_command_line(report, tested, tmp_path, monkeypatch, capsys):
    figures, work_dir = report
    tested.dump(tmp_path / 'config.py')
    spec = importlib.util.spec_from_file_location('test_deployed', ROOT / 'tools/test_deployed.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    command = ['test_deployed', str(DEPLOY_CONFIG), str(tmp_path / 'config.py')]
    monkeypatch.setattr(sys, 'argv', [*command, str(work_dir / 'end2end.onnx'), '--out',
                                      str(tmp_path / 'metrics.json')])
    tool.main()
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics == pytest.approx(figures['accuracy']['onnx'])
    assert f'coco/AP: {metrics["coco/AP"]:.4f}' in capsys.readouterr().out
    monkeypatch.setattr(sys, 'argv', [*command, 'missing.onnx'])
    with pytest.raises(SystemExit, match=r"test_deployed: file 'missing\.onnx' does not exist"):
        tool.main()


def test_another_file_scores_otherwise(report, tested, deploy_cfg, tmp_path):
    graph = onnx.load(report[1] / 'end2end.onnx')
    assert fixed_batch(report[1] / 'end2end.onnx') is None
    head = max(graph.graph.initializer, key=lambda item: item.dims[-1] if item.dims else 0)
    head.raw_data = bytes(len(head.raw_data))
    onnx.save(graph, tmp_path / 'broken.onnx')
    assert evaluate_file(deploy_cfg, tested, tmp_path / 'broken.onnx')['coco/AP'] < 0.5


def test_what_cannot_be_tested(report, tested, deploy_cfg, tmp_path):
    graph = onnx.load(report[1] / 'end2end.onnx')
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(graph, tmp_path / 'four.onnx')
    with pytest.raises(DeployError, match='batches of 4 only'):
        evaluate_file(deploy_cfg, tested, tmp_path / 'four.onnx')
    with pytest.raises(DeployError, match=r"alone\.onnx' does not exist"):
        evaluate_file(deploy_cfg, tested, tmp_path / 'alone.xml')
    # once scored as the ONNX file beside it
    with pytest.raises(DeployError, match=r"four\.engine' is run by no backend here"):
        evaluate_file(deploy_cfg, tested, tmp_path / 'four.engine')
    bare = copy.deepcopy(tested)
    bare.test_evaluator = None
    with pytest.raises(DeployError, match='no `test_evaluator`'):
        evaluate(None, bare)
