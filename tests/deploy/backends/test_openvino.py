"""OpenVINO beside ONNX Runtime."""
from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from mmengine.config import Config

from razor_ext.deploy.backends import find_backend
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.integers.grids import layer_grids
from razor_ext.deploy.integers.qdq import insert_qdq
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.deploy.session import open_session

from ..deploy_scene import ROOT, pruned_config
from ..small_net import export, feeds, float_net, quantized_net


def test_missing_openvino_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(DeployError, match='pip install openvino'):
        find_backend('openvino').convert(tmp_path / 'a.onnx', tmp_path)


def test_integers_run_in_openvino(tmp_path):
    pytest.importorskip('openvino')
    model = insert_qdq(export(float_net()), layer_grids(quantized_net()), feeds()).model
    onnx.save(model, tmp_path / 'a.onnx')
    openvino = find_backend('openvino')
    xml, weights = openvino.convert(tmp_path / 'a.onnx', tmp_path)
    assert weights.endswith('.bin')
    feed = feeds(1)[0]
    ((found,),) = openvino.run(xml, [feed['input']])
    (wanted,) = open_session(tmp_path / 'a.onnx', threads=1).run(None, feed)
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


def test_pruned_pose_model_in_openvino(scene, tmp_path):
    pytest.importorskip('openvino')
    config = Config.fromfile(ROOT / 'configs/deploy/pose_simcc_openvino-256x192.py')
    report = deploy(config, pruned_config(), str(scene / 'pruned.pth'), str(scene / '0.png'),
                    DeployOptions(work_dir=str(tmp_path), rounds=0))
    assert {path.name for path in tmp_path.iterdir()} == {
        'end2end.onnx', 'end2end.xml', 'end2end.bin', 'report.json'}
    assert [row['name'] for row in report['backend_parity']] == ['simcc_x', 'simcc_y']
    assert all(0 < row['max_abs'] < 1e-4 for row in report['backend_parity'])
