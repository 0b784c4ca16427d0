"""The input that a model is traced on: asked for, its family's, or an image."""
from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmrazor.registry import MODELS
from tiny_pose import SIZE, tiny_rtmpose
from torch import nn

from razor_ext.structure.demo_input import DEFAULT_SHAPE, build_demo_input


@pytest.fixture(scope='module')
def pose() -> nn.Module:
    with DefaultScope.overwrite_default_scope('mmpose'):
        return MODELS.build(tiny_rtmpose())


def gait() -> nn.Module:
    return MODELS.build(dict(
        type='razor_ext.GaitRecognizer', _scope_='razor_ext',
        backbone=dict(type='GaitGLBackbone', stem=(4, ), stages=((4, ), (6, )), num_strips=2),
        pooling=dict(type='GeMPooling', num_parts=64),
        head=dict(type='PartBNHead', in_channels=6, embed_channels=6, num_parts=64,
                  num_classes=5, loss_triplet=dict(type='PartTripletLoss', margin=.2),
                  loss_cls=dict(type='PartCrossEntropyLoss', scale=1)),
        data_preprocessor=dict(type='GaitDataPreprocessor', min_frames=3)))


class Plain(BaseModel):
    def forward(self, inputs, data_samples=None, mode='tensor'):
        return inputs.mean((2, 3))


@pytest.mark.smoke
def test_of_a_pose_model(pose):
    data = build_demo_input(None).get_data(pose)
    assert data['inputs'].shape == (1, 3, *SIZE) and len(data['data_samples']) == 1
    with torch.no_grad():
        assert pose.eval()(**data)


def test_of_a_gait_model():
    model = gait().eval()
    data = build_demo_input(None).get_data(model)
    assert data['inputs'].shape == (1, 1, 6, 64, 44) and data['mode'] == 'tensor'
    with torch.no_grad():
        assert model(**data).shape == (1, 6, 64)


def test_of_a_model_within_an_algorithm(pose):
    algorithm = MODELS.build(dict(type='mmrazor.BaseAlgorithm', architecture=pose))
    assert build_demo_input().get_data(algorithm)['inputs'].shape == (1, 3, *SIZE)


def test_of_a_model_that_no_family_knows():
    assert build_demo_input(None).get_data(Plain())['inputs'].shape == DEFAULT_SHAPE


@pytest.mark.parametrize(('config', 'shape'), [
    ((1, 1, 4, 64, 44), (1, 1, 4, 64, 44)),
    ([1, 1, 5, 64, 44], (1, 1, 5, 64, 44)),
    (dict(type='DefaultDemoInput', input_shape=(1, 1, 7, 64, 44)), (1, 1, 7, 64, 44)),
    (dict(type='FamilyDemoInput'), (1, 1, 6, 64, 44)),
])
def test_what_is_asked_for(config, shape):
    assert build_demo_input(config).get_data(gait())['inputs'].shape == shape


@pytest.mark.parametrize('config', ['FamilyDemoInput', 3, (1, 3, 'x')])
def test_neither_shape_nor_config(config):
    with pytest.raises(TypeError, match='must be a shape such as'):
        build_demo_input(config)
