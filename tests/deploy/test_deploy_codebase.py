"""MMDeploy's missing codebase and its exporter call."""
from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch

from razor_ext.compat import mmdeploy as repair
from razor_ext.compat.repair import SKIP_VARIABLE
from razor_ext.deploy.codebase import ModelCompress, architecture_config

from .deploy_scene import ROOT, dense_config, pruned_config

WITHOUT_REPAIRS = """
import torch, razor_ext, importlib.util
from mmdeploy.apis.onnx import export
calls = []
torch.onnx.export = lambda *args, **kwargs: calls.append(kwargs.get('dynamo', 'absent'))
export(torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2), 'unused', backend='onnxruntime')
print(calls, importlib.util.find_spec('mmdeploy.codebase.mmrazor'))
"""


def run(code: str, skip: str = '') -> str:
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), SKIP_VARIABLE: skip}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_razor_ext_does_not_import_mmdeploy():
    assert run('import sys, razor_ext; print("mmdeploy" in sys.modules)') == 'False'


def test_codebase_is_supplied():
    assert import_module('mmdeploy.codebase.mmrazor.deploy').ModelCompress is ModelCompress


@pytest.mark.skipif(not repair.ask_for_torchscript_exporter(),
                    reason='this torch exports by TorchScript anyway')
def test_exporter_is_asked_for_torchscript(monkeypatch):
    from mmdeploy.apis.onnx import export
    calls = []
    monkeypatch.setattr(torch.onnx, 'export',
                        lambda *args, **kwargs: calls.append(kwargs['dynamo']))
    export(torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2), 'unused', backend='onnxruntime')
    assert calls == [False]


@pytest.mark.slow
def test_both_faults_show_without_the_repairs():
    skipped = ','.join(spec.name for spec in repair.REPAIRS)
    assert run(WITHOUT_REPAIRS, skipped).endswith("['absent'] None")


@pytest.mark.smoke
def test_codebase_of_a_whole_mmdeploy_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / 'codebase' / 'mmrazor').mkdir(parents=True)
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: spec)
    assert repair.supply_codebase() is False


@pytest.mark.smoke
def test_exporter_without_the_flag_is_left_alone(monkeypatch):
    monkeypatch.setattr(torch.onnx, 'export', lambda model, args, f: None)
    assert repair.ask_for_torchscript_exporter() is False


def test_architecture_config():
    compressed = pruned_config()
    architecture = architecture_config(compressed)
    assert architecture.model.type == 'TopdownPoseEstimator'
    assert compressed.model.type == 'GroupFisherDeploySubModel'
    wrapped = pruned_config()
    wrapped.model = {'type': 'GroupFisherSubModel', '_scope_': 'mmrazor',
                     'algorithm': {'architecture': compressed.model.architecture}}
    assert architecture_config(wrapped).model == architecture.model
    with pytest.raises(ValueError, match='TopdownPoseEstimator'):
        architecture_config(dense_config())
