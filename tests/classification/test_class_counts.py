"""Data of other classes than the model's are refused before the first step."""
from __future__ import annotations

from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_classifier import CLASSES, PREPROCESSOR, loader, tiny_repvgg, write_stripes
from torch import nn

from razor_ext.classification.hooks import ClassCountError, ClassCountHook
from razor_ext.engine.launch import build_runner


def classifier(**preprocessor: object) -> nn.Module:
    """Build the small classifier of four classes."""
    init_default_scope('mmpretrain')
    return MODELS.build({**tiny_repvgg(), 'data_preprocessor': {**PREPROCESSOR, **preprocessor}})


def runner_of(model: nn.Module, classes: int | None) -> SimpleNamespace:
    """Stand for a runner with a model and data of some classes."""
    meta = {} if classes is None else {'classes': [str(i) for i in range(classes)]}
    data = SimpleNamespace(dataset=SimpleNamespace(metainfo=meta))
    return SimpleNamespace(model=model, train_dataloader=data, val_dataloader=data,
                           test_dataloader=data)


def test_a_run_of_the_tools_is_refused(tmp_path):
    write_stripes(tmp_path, count=1)
    model = tiny_repvgg()
    model['head']['num_classes'] = 3
    cfg = Config(dict(
        default_scope='mmpretrain', work_dir=str(tmp_path / 'work'), launcher='none',
        model=model, data_preprocessor={**PREPROCESSOR, 'num_classes': 3},
        train_dataloader=loader(tmp_path, 'train', 2), train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.1)), log_level='ERROR'))
    with pytest.raises(ClassCountError, match=(
            r'train_dataloader has 4 classes, and the head of the model 3: '
            r'set model\.head\.num_classes=4')):
        build_runner(cfg).train()


@pytest.mark.parametrize('wrap', [False, True], ids=['model', 'algorithm'])
def test_training_wants_the_same_count(wrap):
    model = classifier()
    if wrap:
        inner, model = model, nn.Module()
        model.architecture, model.data_preprocessor = inner, inner.data_preprocessor
    hook = ClassCountHook()
    hook.before_train(runner_of(model, CLASSES))
    hook.before_train(runner_of(model, None))
    for wrong in (CLASSES - 1, CLASSES + 1):
        with pytest.raises(ClassCountError, match=f'has {wrong} classes'):
            hook.before_train(runner_of(model, wrong))


def test_a_test_set_may_have_fewer():
    hook, model = ClassCountHook(), classifier()
    for check, name in ((hook.before_val, 'val'), (hook.before_test, 'test')):
        check(runner_of(model, CLASSES - 1))
        with pytest.raises(ClassCountError, match=f'{name}_dataloader has 5 classes'):
            check(runner_of(model, CLASSES + 1))


def test_soft_labels_are_of_the_same_count():
    hook = ClassCountHook()
    hook.before_train(runner_of(classifier(num_classes=9), CLASSES))
    with pytest.raises(ClassCountError, match=r'data_preprocessor\.num_classes=9.* has 4 classes'):
        hook.before_train(runner_of(classifier(num_classes=9, to_onehot=True), CLASSES))


def test_other_models_are_left_alone():
    hook = ClassCountHook()
    for check in (hook.before_train, hook.before_val, hook.before_test):
        check(runner_of(nn.Linear(1, 1), 7))
