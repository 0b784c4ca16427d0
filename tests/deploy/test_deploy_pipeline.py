"""The whole way from configs to a work directory."""
from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.config import Config

from razor_ext.deploy.checks import DeployError
from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.parity import ParityError, check_parity
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.structure import StructureError

from .deploy_scene import DEPLOY_CONFIG, ROOT, SUBNET, dense_config, pruned_config


def convert(deploy_cfg, config, scene, work_dir, checkpoint='pruned.pth', **options):
    return deploy(deploy_cfg, config, str(scene / checkpoint), str(scene / '0.png'),
                  DeployOptions(work_dir=str(work_dir), rounds=0, draw=False, **options))


def test_pruned_model_is_exported_whole(deployed):
    assert {path.name for path in deployed.iterdir()} == {
        'end2end.onnx', 'report.json', 'deploy.json', 'pipeline.json', 'detail.json',
        'output_onnxruntime.jpg', 'output_pytorch.jpg'}
    report = json.loads((deployed / 'report.json').read_text())
    assert [row['name'] for row in report['parity']] == ['simcc_x', 'simcc_y']
    for row in report['parity']:
        assert 0 < row['max_abs'] <= 1e-4 < row['scale']
    # padded, so larger in the file than the sliced torch model
    assert report['onnx']['macs'] > report['torch']['macs']
    assert set(report['latency']) == {'1', str(os.cpu_count())}
    for timing in report['latency'].values():
        spread = timing['ms']['onnx']
        assert 0 < spread['min'] <= spread['median'] <= spread['max']


def test_exported_channels_follow_structure_and_divisor(deployed):
    import onnx
    graph = onnx.load(deployed / 'end2end.onnx').graph
    stored = {item.name: tuple(item.dims) for item in graph.initializer}
    first = next(node for node in graph.node if node.op_type == 'Conv')
    assert stored[first.input[1]][:2] == (4, 3)  # 3 channels kept, padded to 4


def test_exported_file_takes_any_batch(deployed):
    session = onnxruntime.InferenceSession(deployed / 'end2end.onnx')
    batch = np.random.default_rng(1).standard_normal((3, 3, 256, 192)).astype(np.float32)
    together = session.run(None, {'input': batch})
    assert together[0].shape == (3, 17, 384)
    assert together[1].shape == (3, 17, 512)
    alone = session.run(None, {'input': batch[1:2]})
    np.testing.assert_allclose(together[0][1:2], alone[0], atol=1e-4)


def test_dense_model_and_changed_weights(scene, deploy_cfg, tmp_path):
    config = dense_config()
    report = convert(deploy_cfg, config, scene, tmp_path, checkpoint='dense.pth')
    assert report['latency'] == {}
    conversion = Conversion(deploy_cfg, config, str(scene / 'dense.pth'))
    task = conversion.build_task()
    model = conversion.build_reference()
    inputs = conversion.create_inputs(task, model, [str(scene / '1.png')])
    assert max(row.error for row in check_parity(model, tmp_path / 'end2end.onnx', inputs)) < 1e-4
    with torch.no_grad():
        model.head.cls_x.weight[0] += 0.1
    assert max(row.error for row in check_parity(model, tmp_path / 'end2end.onnx', inputs)) > 1e-3


def test_failed_parity_leaves_earlier_results(scene, deploy_cfg, tmp_path):
    (tmp_path / 'end2end.onnx').write_bytes(b'earlier')
    with pytest.raises(ParityError, match='--parity-threshold 1e-12'):
        convert(deploy_cfg, pruned_config(), scene, tmp_path, parity_threshold=1e-12)
    assert [path.name for path in tmp_path.iterdir()] == ['end2end.onnx']
    assert (tmp_path / 'end2end.onnx').read_bytes() == b'earlier'


@pytest.mark.parametrize('change, error, words', [
    ({'backbone.stem.9.conv_(0, 4)_4': 3}, StructureError, 'stem.9'),
    ({'backbone.stem.0.conv_(0, 4)_4': 5}, StructureError, 'only 4'),
    ({'backbone.stem.0.conv_(0, 4)_4': 0}, StructureError, 'positive integer'),
    ({'backbone.stem.0.conv_(0, 4)_4': 2}, DeployError, 'does not fit the structure'),
    ({'backbone.stem.0.conv_(0, 16)_16': 8}, StructureError, 'another model'),
])
def test_wrong_structure(scene, deploy_cfg, tmp_path, change, error, words):
    with pytest.raises(error, match=words):
        convert(deploy_cfg, pruned_config({**SUBNET, **change}), scene, tmp_path)
    assert not list(tmp_path.iterdir())


def test_structure_file(scene, deploy_cfg, tmp_path):
    path = tmp_path / 'fix_subnet.json'
    path.write_text(json.dumps(SUBNET))
    conversion = Conversion(deploy_cfg, pruned_config(str(path)), str(scene / 'pruned.pth'))
    conversion.build_task()
    assert conversion.build_reference().backbone.stem[0].conv.out_channels == 3
    path.write_text(json.dumps(SUBNET)[:40])
    with pytest.raises(StructureError, match='not valid JSON'):
        convert(deploy_cfg, pruned_config(str(path)), scene, tmp_path / 'out')


def test_command_line_reports_bad_input_in_one_line(scene, tmp_path):
    config = tmp_path / 'config.py'
    pruned_config().dump(config)
    command = [sys.executable, str(ROOT / 'tools/deploy.py'), str(DEPLOY_CONFIG), str(config),
               str(tmp_path / 'missing.pth'), str(scene / '0.png'), '--work-dir',
               str(tmp_path / 'out')]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith('deploy: checkpoint')
    assert 'missing.pth' in done.stderr
    assert not list((tmp_path / 'out').glob('*'))


def test_wrong_input_size(scene, tmp_path):
    wrong = Config.fromfile(DEPLOY_CONFIG)
    wrong.onnx_config.input_shape = [288, 384]
    with pytest.raises(DeployError, match=r'input_shape.*\[288, 384\]'):
        convert(wrong, pruned_config(), scene, tmp_path)
    wrong = Config.fromfile(ROOT / 'configs/deploy/pose_simcc_tensorrt-256x192.py')
    wrong.backend_config.model_inputs[0].input_shapes.input.max_shape = [4, 3, 384, 288]
    with pytest.raises(DeployError, match='model_inputs'):
        convert(wrong, pruned_config(), scene, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('options', [{'parity_threshold': 0}, {'integer_threshold': 0},
                                     {'rounds': -1}, {'pack_int4': True}, {'compare_static': True}])
def test_wrong_options(options):
    with pytest.raises(ValueError, match='must'):
        DeployOptions(**options)
