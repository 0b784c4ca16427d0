"""Upstream packages that cannot be imported as they come."""
from __future__ import annotations

import importlib
import os
import sys
import types

import pytest
import torch

import razor_ext  # noqa: F401
from razor_ext.compat import mmpose as mmpose_repairs
from razor_ext.compat import mmpretrain as mmpretrain_repairs
from razor_ext.compat.mmcv import mend_ops
from razor_ext.compat.mmrazor_quantization import mend_backend_configs
from razor_ext.compat.repair import is_installed
from razor_ext.compat.standin import StandInModule, make_member, stand_in_modules

try:
    import mmcv._ext as extension
    FULL_MMCV = not isinstance(extension, StandInModule)
except ImportError:
    FULL_MMCV = False

needs_mmpretrain = pytest.mark.skipif(not is_installed('mmpretrain'), reason='not installed')
needs_lite = pytest.mark.skipif(FULL_MMCV, reason='the full mmcv is installed')


@pytest.mark.smoke
@pytest.mark.parametrize('name', [
    'mmrazor.models', 'mmrazor.implementations.pruning.group_fisher', 'mmdet.models',
    'mmpose.models', 'mmpose.apis', 'mmpose.visualization', 'mmcv.ops', 'only_train_once',
    pytest.param('mmpretrain.models', marks=needs_mmpretrain),
    pytest.param('mmpretrain.datasets', marks=needs_mmpretrain)])
def test_imports(name):
    importlib.import_module(name)


@needs_lite
def test_mmcv_ops_fault(run_python):
    result = run_python('import mmcv.ops')
    assert "No module named 'mmcv._ext'" in result.stderr


@needs_lite
@pytest.mark.smoke
def test_mmcv_ops_fail_when_used():
    from mmcv.ops import point_sample, soft_nms

    with pytest.raises(ImportError, match=r'mmcv-lite has no compiled operators'):
        soft_nms(torch.tensor([[0., 0., 1., 1.]]), torch.ones(1))
    # What mmcv writes in Python works.
    assert point_sample(torch.rand(1, 2, 4, 4), torch.rand(1, 3, 2)).shape == (1, 2, 3)


@needs_lite
def test_mmcv_environment_report():
    import mmcv.utils

    assert mmcv.utils.collect_env()['MMCV Compiler'] == 'n/a'


def test_mmcv_ops_stand_in_steps_aside(monkeypatch, tmp_path):
    import mmcv

    (tmp_path / '_ext.py').write_text('nms = None\n')
    monkeypatch.delitem(sys.modules, 'mmcv._ext', raising=False)
    monkeypatch.setattr(mmcv, '__path__', [*mmcv.__path__, str(tmp_path)])
    assert not mend_ops()
    assert 'mmcv._ext' not in sys.modules


def test_mmrazor_quantization_fault(run_repaired):
    result = run_repaired('import mmrazor.models', keep=('mmcv-ops',))
    assert 'torch>=1.13' in result.stderr


def test_mmrazor_quantization_says_what_to_use():
    backends = importlib.import_module('mmrazor.structures.quantization.backend_config')
    utilities = importlib.import_module(f'{backends.__name__}.common_operator_config_utils')
    assert set(backends.BackendConfigs.values()) == {None}
    with pytest.raises(ImportError, match='GETA'):
        utilities.reverse2(None)
    # Nothing is left behind in torch.
    fusers = importlib.import_module('torch.ao.quantization.fuser_method_mappings')
    assert not hasattr(fusers, 'reverse2')


def test_mmrazor_quantization_stands_back(monkeypatch):
    fusers = importlib.import_module('torch.ao.quantization.fuser_method_mappings')
    for name in ('reverse2', 'reverse3', 'reverse_sequential_wrapper2'):
        monkeypatch.setattr(fusers, name, None, raising=False)
    assert not mend_backend_configs()


def test_torchvision_fault(run_repaired):
    result = run_repaired('import mmpose.visualization', keep=('mmcv-ops',),
                          hidden=('torchvision',))
    assert "No module named 'torchvision'" in result.stderr


@needs_mmpretrain
def test_torchvision_fault_of_mmpretrain(run_repaired):
    result = run_repaired('import mmpretrain.models', keep=('mmcv-ops',), hidden=('torchvision',))
    assert "No module named 'torchvision'" in result.stderr


BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')\n"


@pytest.mark.parametrize('content', [None, BROKEN], ids=['missing', 'broken'])
def test_torchvision_stand_in(run_python, tmp_path, content):
    if content:
        (tmp_path / 'torchvision').mkdir()
        (tmp_path / 'torchvision' / '__init__.py').write_text(content)
    result = run_python('''
import razor_ext, sys
assert not any(name.partition('.')[0] == 'torchvision' for name in sys.modules)
try:
    import torchvision
except (ImportError, RuntimeError):
    print('as upstream left it')
from mmpose.visualization import simcc_vis
try:
    simcc_vis.ToPILImage()
except ImportError as error:
    print(error)
''', hidden=() if content else ('torchvision',),
                        PYTHONPATH=os.pathsep.join([str(tmp_path), os.getcwd()]))
    assert result.returncode == 0, result.stderr
    assert 'as upstream left it' in result.stdout
    assert 'torchvision is missing or does not fit' in result.stdout


def test_torchvision_that_works_is_used(monkeypatch):
    for name in ('torchvision', 'torchvision.transforms'):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert not mmpose_repairs.mend_visualization()
    assert not mmpretrain_repairs.mend_torchvision_imports()


def test_only_train_once_fault(run_repaired):
    result = run_repaired('''
import importlib.util
print(importlib.util.find_spec('torch.onnx._globals'))
import only_train_once
''')
    if result.stdout.startswith('None'):  # a torch that has moved the module
        assert "No module named 'torch.onnx._globals'" in result.stderr
    else:
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize('repaired', [False, True])
def test_only_train_once_without_imp(run_repaired, repaired):
    keep = ('only_train_once-exporter', 'only_train_once-imp')
    result = run_repaired('import only_train_once', keep if repaired else keep[:1], ('imp',))
    assert (result.returncode == 0) == repaired, result.stderr
    assert ("No module named 'imp'" in result.stderr) != repaired


@pytest.mark.smoke
def test_stand_in_members():
    member = make_member('Op', 'install it')
    assert not isinstance(3, member)
    derived = type('Derived', (member,), {'__init__': lambda self, x: None})
    for use in (member, derived):
        with pytest.raises(ImportError, match='install it'):
            use(1)


def test_stand_in_modules_are_taken_away():
    with stand_in_modules(('not_there', 'not_there.ops'), 'install it'):
        import not_there.ops as ops
        from not_there.ops import roi
        assert isinstance(ops, StandInModule)
        with pytest.raises(ImportError, match=r'not_there\.ops\.roi'):
            roi()
        assert not hasattr(importlib.import_module('not_there'), '__wrapped__')
    assert 'not_there' not in sys.modules
