"""MMRazor's demo inputs for mmpose, which its tracer feeds to the model."""
from __future__ import annotations

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

import razor_ext  # noqa: F401
from razor_ext.compat import mmrazor_demo_inputs

pytest.importorskip('mmpose')
pytest.importorskip('mmrazor')

MODEL = dict(
    type='mmpose.TopdownPoseEstimator',
    data_preprocessor=dict(type='mmpose.PoseDataPreprocessor', mean=[123.7, 116.3, 103.5],
                           std=[58.4, 57.1, 57.4], bgr_to_rgb=True),
    backbone=dict(type='mmpose.ResNet', depth=18),
    head=dict(
        type='mmpose.RTMCCHead', in_channels=512, out_channels=17, input_size=(96, 128),
        in_featuremap_size=(3, 4), simcc_split_ratio=2.0, final_layer_kernel_size=3,
        gau_cfg=dict(hidden_dims=32, s=16, expansion_factor=2, dropout_rate=0., drop_path=0.,
                     act_fn='SiLU', use_rel_bias=False, pos_enc=False),
        loss=dict(type='mmpose.KLDiscretLoss', use_target_weight=True, beta=10.,
                  label_softmax=True),
        decoder=dict(type='mmpose.SimCCLabel', input_size=(96, 128), sigma=(4.9, 5.66),
                     simcc_split_ratio=2.0, normalize=False, use_dark=False)))

FAULT = f'''
import mmpose.models
from mmengine.registry import init_default_scope
from mmrazor.models.task_modules.demo_inputs import DefaultDemoInput
from mmrazor.registry import MODELS
init_default_scope('mmpose')
model = MODELS.build({MODEL!r})
print(tuple(DefaultDemoInput((1, 3, 128, 96)).get_data(model)['inputs'].shape))
'''


@pytest.fixture(scope='module')
def model() -> nn.Module:
    from mmrazor.registry import MODELS
    init_default_scope('mmpose')
    return MODELS.build(MODEL)


def demo(model, *shape):
    from mmrazor.models.task_modules.demo_inputs import DefaultDemoInput
    return DefaultDemoInput(*shape).get_data(model)


def test_rtm_head_fault(run_repaired):
    result = run_repaired(FAULT, keep=('mmcv-ops', 'mmpose-torchvision', 'mmrazor-quantization'))
    assert "cannot import name 'RTMHead'" in result.stderr


def test_shape_fault(run_repaired):
    result = run_repaired(FAULT, keep=('mmcv-ops', 'mmpose-torchvision', 'mmrazor-quantization',
                                       'mmrazor-rtm-head'))
    assert result.stdout.strip() == '(1, 3, 96, 128)', result.stderr


@pytest.mark.smoke
@pytest.mark.parametrize(('shape', 'expected'), [
    ((), (1, 3, 128, 96)),
    (((1, 3, 224, 224),), (1, 3, 128, 96)),
    (((2, 3, 128, 96),), (2, 3, 128, 96)),
    (([1, 3, 256, 192],), (1, 3, 256, 192)),
])
def test_shape(model, shape, expected):
    data = demo(model, *shape)
    assert data['inputs'].shape == expected
    assert len(data['data_samples']) == expected[0]
    assert data['mode'] == 'tensor'


@pytest.mark.parametrize('mode', ['tensor', 'loss', 'predict'])
def test_every_mode_runs(model, mode):
    model.eval()
    with torch.no_grad():
        assert model(**{**demo(model), 'mode': mode})


def test_repairs_stand_back_where_upstream_is_whole():
    assert not mmrazor_demo_inputs.mend_rtm_head()


def test_repair_of_the_shape_stands_back(monkeypatch):
    from mmrazor.models.task_modules.demo_inputs import mmpose_demo_input

    def whole(model, input_shape, for_training=False, batch_size=1):
        raise AssertionError

    monkeypatch.setattr(mmpose_demo_input, 'demo_mmpose_inputs', whole)
    assert not mmrazor_demo_inputs.mend_pose_input_shape()


def test_bottom_up_estimators_are_traced_on_an_image():
    from mmrazor.registry import MODELS

    from razor_ext.engine.families import find_demo_input
    init_default_scope('mmpose')
    estimator = MODELS.build(dict(
        type='mmpose.BottomupPoseEstimator', backbone=dict(type='mmpose.ResNet', depth=18),
        data_preprocessor=MODEL['data_preprocessor'], test_cfg=dict(input_size=(64, 32)),
        head=dict(type='mmpose.HeatmapHead', in_channels=512, out_channels=17,
                  deconv_out_channels=None)))
    assert find_demo_input(estimator) == (1, 3, 32, 64)
    data = demo(estimator, find_demo_input(estimator))
    assert data['mode'] == 'tensor'
    assert estimator.eval()(**data).shape == (1, 17, 1, 2)
