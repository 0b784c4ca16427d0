"""What is read of a detector's config, and the detectors and data that are refused."""
from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_detector import CLASSES, SIZE, dataset, pipelines, tiny_rtmdet
from torch import nn

from razor_ext.detection.config import image_size, test_pipeline
from razor_ext.detection.errors import UnsupportedDetectorError
from razor_ext.detection.hooks import ClassesError, DetectorClassesHook
from razor_ext.engine.families import set_demo_input
from razor_ext.graph import TraceError, analyze
from razor_ext.structure.demo_input import build_demo_input

test_pipeline.__test__ = False
RESIZE = dict(type='Resize', scale=(1333, 800), keep_ratio=True)


@pytest.mark.parametrize('pipeline, divisor, size', [
    ([RESIZE], 32, (1344, 800)),
    ([dict(type='mmdet.Resize', scale=(640, 640), keep_ratio=True),
      dict(type='Pad', pad_to_square=True)], 1, (640, 640)),
    ([RESIZE, dict(type='Pad', size=(1408, 896))], 1, (1408, 896)),
    ([RESIZE, dict(type='Pad', size_divisor=64)], 1, (1344, 832)),
    ([dict(type='LoadImageFromFile')], 32, None),
])
def test_the_size_of_test_images(pipeline, divisor, size):
    assert image_size(pipeline, divisor) == size


def test_the_pipeline_of_the_test_set_goes_before_a_name_of_the_config_below():
    own = [dict(type='Resize', scale=(320, 320))]
    wrapped = dict(type='RepeatDataset', dataset=dict(type='CocoDataset', pipeline=own))
    assert test_pipeline(dict(test_dataloader=dict(dataset=wrapped), test_pipeline=[RESIZE])) == own
    assert test_pipeline(dict(test_pipeline=[RESIZE])) == [RESIZE]


@pytest.fixture
def run_config(tmp_path):
    """The config of a pruning run on the tiny RTMDet."""
    train, test = pipelines()
    return Config(dict(
        default_scope='mmdet', model=dict(type='mmrazor.GETA', architecture=tiny_rtmdet()),
        train_dataloader=dict(dataset=dataset(tmp_path, train)),
        test_dataloader=dict(dataset=dataset(tmp_path, test))))


def test_a_run_traces_the_model_on_its_test_images(run_config):
    set_demo_input(run_config)
    assert run_config.model.demo_input == (1, 3, SIZE[1], SIZE[0])
    run_config.model.demo_input = (1, 3, 96, 96)
    set_demo_input(run_config)
    assert run_config.model.demo_input == (1, 3, 96, 96)


@pytest.mark.parametrize('kind', ['mmrazor.GroupFisherAlgorithm', 'mmrazor.CompressedModel'])
def test_what_takes_no_demo_input_gets_none(run_config, kind):
    run_config.model = dict(type=kind, architecture=tiny_rtmdet(), **(
        {} if 'Algorithm' in kind else {'fix_subnet': 'fix_subnet.json'}))
    set_demo_input(run_config)
    assert 'demo_input' not in run_config.model


def test_the_config_of_another_family_is_left_alone(run_config):
    run_config.default_scope = 'mmpose'
    set_demo_input(run_config)
    assert 'demo_input' not in run_config.model


@pytest.mark.parametrize('loader', ['train', 'val', 'test'])
def test_classes_other_than_those_of_the_head_are_refused(loader):
    init_default_scope('mmdet')
    model = MODELS.build(tiny_rtmdet())
    data = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=CLASSES)))
    runner = SimpleNamespace(model=SimpleNamespace(architecture=model),
                             **{f'{loader}_dataloader': data})
    check = getattr(DetectorClassesHook(), f'before_{loader}')
    check(runner)
    model.bbox_head.num_classes = 80
    with pytest.raises(ClassesError, match=(
            rf'{loader}_dataloader has 2 classes \({", ".join(CLASSES)}\), but '
            r'bbox_head\.num_classes of the model is 80')):
        check(runner)
    runner.model = nn.Linear(1, 1)
    check(runner)


def test_a_detector_of_two_stages_is_refused_before_it_is_traced():
    init_default_scope('mmdet')
    model = MODELS.build(dict(
        type='FasterRCNN', backbone=tiny_rtmdet()['backbone'], rpn_head=None, roi_head=None,
        train_cfg=None, test_cfg=None))
    with pytest.raises(UnsupportedDetectorError, match=(
            r'FasterRCNN cannot be compressed and deployed: it has two stages, .*depend on the '
            r'data\. Take a SingleStageDetector')):
        build_demo_input(None).get_data(model)


def test_a_size_that_the_network_cannot_take_is_named():
    init_default_scope('mmdet')
    model = MODELS.build(tiny_rtmdet())
    with pytest.raises(TraceError, match=(
            r'Sizes of tensors must match.*cspnext_pafpn\.py.*\(they are 1 x 3 x 72 x 72\)')):
        analyze(model, build_demo_input((1, 3, 72, 72)).get_data(model))


def test_a_detector_without_the_config_of_a_run_has_an_input_too():
    init_default_scope('mmdet')
    model = MODELS.build(copy.deepcopy(tiny_rtmdet()))
    assert build_demo_input(None).get_data(model)['inputs'].shape == (1, 3, 640, 640)
