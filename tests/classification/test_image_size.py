"""The input of a classifier is what its test images are."""
from __future__ import annotations

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from razor_ext.classification.image_size import image_size, input_shape
from razor_ext.engine.families import find_demo_input, find_deployment, set_demo_input
from razor_ext.engine.tool_config import find_config


def stock(name: str) -> Config:
    """Load a config of mmpretrain's."""
    return Config.fromfile(find_config(f'mmpretrain::{name}'))


@pytest.mark.parametrize(('name', 'shape'), [
    ('resnet/resnet18_8xb16_cifar10.py', (1, 3, 32, 32)),
    ('efficientnet/efficientnet-b1_8xb32_in1k.py', (1, 3, 240, 240)),
    ('vision_transformer/vit-base-p16_64xb64_in1k-384px.py', (1, 3, 384, 384)),
    ('lenet/lenet5_mnist.py', (1, 1, 32, 32)),
])
def test_stock_configs(name, shape):
    cfg = stock(name)
    assert input_shape(cfg, cfg.model) == shape
    cfg.default_scope = 'mmpose'
    assert input_shape(cfg, cfg.model) is None
    cfg.model.type = 'mmpretrain.ImageClassifier'
    assert input_shape(cfg, cfg.model) == shape


@pytest.mark.parametrize(('steps', 'size'), [
    ([dict(type='ResizeEdge', scale=256), dict(type='PackInputs')], None),
    ([dict(type='Resize', scale=(96, 64)), dict(type='mmpretrain.CenterCrop', crop_size=48)],
     (48, 48)),
    ([dict(type='Resize', scale=(96, 64))], (96, 64)),
    ([dict(type='torchvision/CenterCrop', size=[64, 96])], (96, 64)),
    ([], None),
])
def test_the_last_step_that_sets_both_sides_counts(steps, size):
    assert image_size(steps) == size


@pytest.mark.parametrize('loader', ['test_dataloader', 'val_dataloader'])
def test_a_wrapped_test_set_is_read(loader):
    inner = dict(type='CustomDataset', pipeline=[dict(type='Resize', scale=40)])
    cfg = Config({'default_scope': 'mmpretrain', loader: dict(
        dataset=dict(type='RepeatDataset', dataset=inner))})
    assert input_shape(cfg, dict(type='ImageClassifier')) == (1, 3, 40, 40)


def test_a_run_traces_its_model_on_that_input_unless_told_another():
    cfg = stock('resnet/resnet18_8xb16_cifar10.py')
    cfg.model = dict(type='mmrazor.GETA', architecture=cfg.model)
    set_demo_input(cfg)
    assert cfg.model.demo_input == (1, 3, 32, 32)
    cfg.model.demo_input = (1, 3, 64, 64)
    set_demo_input(cfg)
    assert cfg.model.demo_input == (1, 3, 64, 64)


def test_a_transformer_without_a_config_knows_its_own_size():
    init_default_scope('mmpretrain')
    arch = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16)
    model = MODELS.build(dict(type='ImageClassifier', backbone=dict(
        type='VisionTransformer', arch=arch, img_size=48, patch_size=16)))
    assert find_demo_input(model) == (1, 3, 48, 48)
    model = MODELS.build(dict(type='ImageClassifier', backbone=dict(type='LeNet5', num_classes=2)))
    assert find_demo_input(model) == (1, 3, 224, 224)
    assert find_deployment(model).codebase['task'] == 'Classification'
