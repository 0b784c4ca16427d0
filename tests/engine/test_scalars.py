"""Scalars for TensorBoard by one switch, and a precision that the machine has."""
from __future__ import annotations

import sys
from types import ModuleType

import pytest
from mmengine.config import Config

from razor_ext.engine import launch, scalars
from razor_ext.engine.errors import RunError


def test_a_backend_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', ModuleType('tensorboard'))
    cfg = Config(dict(visualizer=dict(type='PoseLocalVisualizer',
                                      vis_backends=[dict(type='LocalVisBackend')])))
    for _ in range(2):
        scalars.add_tensorboard(cfg)
        assert [backend.type for backend in cfg.visualizer.vis_backends] == [
            'LocalVisBackend', 'TensorboardVisBackend']
    bare = Config(dict(visualizer=None))
    scalars.add_tensorboard(bare)
    assert bare.visualizer.vis_backends[-1].type == 'TensorboardVisBackend'


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', None)
    with pytest.raises(RunError, match='pip install tensorboard'):
        scalars.add_tensorboard(Config())


def test_mixed_precision_needs_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = Config(dict(optim_wrapper=dict(type='AmpOptimWrapper')))
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    with pytest.raises(RunError, match=r'AmpOptimWrapper.*leave out --amp'):
        launch.check_precision(mixed)
    launch.check_precision(Config(dict(optim_wrapper=dict(type='OptimWrapper'))))
    launch.check_precision(Config())
    monkeypatch.setattr(launch, 'get_device', lambda: 'cuda')
    launch.check_precision(mixed)
