"""The registries of scope razor_ext, and the names that earlier configs have."""
from __future__ import annotations

import copy
import logging

import pytest
from mmengine import registry as mmengine_registry
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope, Registry, root

from razor_ext import registry

SMALL = dict(
    type='GaitRecognizer',
    backbone=dict(type='GaitResNet', channels=(4, 6, 8, 10)),
    pooling=dict(type='HorizontalPyramidPooling', bins=(16, )),
    head=dict(type='PartBNNeckHead', in_channels=10, embed_channels=6, num_parts=16,
              num_classes=5, loss_triplet=dict(type='PartTripletLoss', margin=.2),
              loss_cls=dict(type='PartCrossEntropyLoss', scale=16)))
#: One of each registry that gait and pose use.
NAMES = {'MODELS': 'GeMPooling', 'DATASETS': 'CASIABDataset', 'DATA_SAMPLERS':
         'TripletBatchSampler', 'TRANSFORMS': 'SampleFrames', 'METRICS': 'GREWSubmission',
         'HOOKS': 'GaitVisualizationHook'}


@pytest.mark.smoke
def test_a_child_of_every_registry_of_mmengine():
    parents = {name: item for name, item in vars(root).items() if isinstance(item, Registry)}
    for name, parent in parents.items():
        assert getattr(registry, name).parent is parent
    assert len(registry.REGISTRIES) == len(parents)


@pytest.mark.smoke
@pytest.mark.parametrize('scope', ['razor_ext', 'mmengine', 'mmpose', 'mmrazor'])
def test_bare_names_build_in_every_scope(scope):
    """Configs written before the package had registries say `default_scope = 'mmengine'`."""
    with DefaultScope.overwrite_default_scope(scope):
        model = mmengine_registry.MODELS.build(copy.deepcopy(SMALL))
    assert type(model).__module__ == 'razor_ext.gait.models.recognizer'
    assert type(model.head.loss_cls).__name__ == 'PartCrossEntropyLoss'


@pytest.mark.parametrize(('kind', 'name'), [*NAMES.items(), ('DATASETS', 'SyntheticPeople'),
                                            ('HOOKS', 'CalibrationHook')])
def test_every_kind_has_its_name_in_both_registries(kind, name):
    own, parent = getattr(registry, kind), getattr(mmengine_registry, kind)
    assert own.module_dict[name] is parent.module_dict[name]
    assert parent.get(f'razor_ext.{name}') is parent.get(f'mmengine.{name}') is not None


def test_a_converted_config_of_the_former_scope(tmp_path):
    """What tools/gait/convert_config.py has written inherits a runtime of scope mmengine."""
    (tmp_path / 'runtime.py').write_text("default_scope = 'mmengine'\n")
    path = tmp_path / 'converted.py'
    path.write_text(f"_base_ = ['runtime.py']\nmodel = {SMALL!r}\n")
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        assert len(mmengine_registry.MODELS.build(cfg.model).head.fc.weight) == 16


@pytest.mark.parametrize(('scope', 'warnings'), [('razor_ext', 0), ('no_such_scope', 4)])
def test_the_scope_is_found_without_a_warning(monkeypatch, scope, warnings):
    said = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda message, **options: said.append(
        message) if options.get('level') == logging.WARNING else None)
    with DefaultScope.overwrite_default_scope(scope):
        mmengine_registry.HOOKS.build(dict(type='IterTimerHook'))
        mmengine_registry.LOG_PROCESSORS.build(dict(type='LogProcessor'))
    assert len(said) == warnings, said


def test_a_name_of_another_object_is_not_overwritten(monkeypatch):
    monkeypatch.setitem(registry.HOOKS.module_dict, 'LoggerHook',
                        type('LoggerHook', (Hook, ), {'__module__': 'some_family.hooks'}))
    with pytest.raises(KeyError, match='LoggerHook is already registered'):
        registry.keep_root_names('some_family')
