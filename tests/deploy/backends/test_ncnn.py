"""ncnn beside torch."""
from __future__ import annotations

import sys

import pytest
import torch
from mmengine.config import Config

from razor_ext.deploy.backends import find_backend
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.pipeline import DeployOptions, deploy

from ..deploy_scene import ROOT, dense_config, pruned_config
from .net import Net

NCNN = find_backend('ncnn')
CONFIG = ROOT / 'configs/deploy/pose_simcc_ncnn-256x192.py'


@pytest.mark.parametrize('name', ['ncnn', 'pnnx'])
def test_what_is_missing_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ncnn', None if name == 'ncnn' else sys)
    monkeypatch.setitem(sys.modules, 'pnnx', None)
    with pytest.raises(DeployError, match=f'{name} is not installed: pip install ncnn pnnx'):
        NCNN.convert(tmp_path / 'a.onnx', tmp_path, model=Net(), batch=torch.zeros(1, 3, 5, 5))


def test_the_torch_model_is_asked_for(tmp_path):
    with pytest.raises(DeployError, match='give model and batch'):
        NCNN.convert(tmp_path / 'a.onnx', tmp_path)


def test_batches_run_one_by_one(tmp_path):
    pytest.importorskip('ncnn')
    pytest.importorskip('pnnx')
    torch.manual_seed(0)
    model, x = Net().eval(), torch.randn(3, 3, 6, 5)
    files = NCNN.convert(tmp_path / 'a.onnx', tmp_path, model=model, batch=x)
    assert [path.rsplit('/')[-1] for path in files] == ['a.param', 'a.bin']
    wrapper = NCNN.wrapper(files[0], ['first', 'second'])
    outputs = wrapper({'input': x})
    for (name, found), wanted in zip(outputs.items(), model(x, None, 'tensor')):
        assert found.shape == wanted.shape, name
        torch.testing.assert_close(found, wanted.detach(), rtol=1e-5, atol=1e-5)


def test_missing_weights_are_an_error(tmp_path):
    pytest.importorskip('ncnn')
    pytest.importorskip('pnnx')
    param, _ = NCNN.convert(tmp_path / 'a.onnx', tmp_path, model=Net().eval(),
                            batch=torch.zeros(1, 3, 5, 5))
    (tmp_path / 'a.bin').unlink()
    with pytest.raises(DeployError, match='cannot load'):
        NCNN.run(param, [])


@pytest.mark.parametrize('pruned', [False, True])
def test_pose_model(scene, tmp_path, pruned):
    pytest.importorskip('ncnn')
    pytest.importorskip('pnnx')
    config, name = (pruned_config(), 'pruned.pth') if pruned else (dense_config(), 'dense.pth')
    report = deploy(Config.fromfile(CONFIG), config, str(scene / name), str(scene / '0.png'),
                    DeployOptions(work_dir=str(tmp_path), rounds=0))
    assert {path.name for path in tmp_path.iterdir()} == {
        'end2end.onnx', 'end2end.param', 'end2end.bin', 'report.json'}
    assert [row['name'] for row in report['backend_parity']] == ['simcc_x', 'simcc_y']
    assert all(0 < row['max_abs'] < 1e-4 for row in report['backend_parity'])
