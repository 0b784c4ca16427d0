"""What a detector is deployed on: the images its test pipeline makes."""
from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdeploy.apis.utils import build_task_processor
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_detector import SIZE, dataset, pipelines, tiny_rtmdet, write_pictures

from razor_ext.detection.errors import UnsupportedDetectorError
from razor_ext.engine.errors import DeployError
from razor_ext.engine.families import import_deploy_modules

DEPLOY = Path(__file__).parents[2] / 'configs/deploy/detection_onnxruntime_static-640x640.py'


@pytest.fixture
def configs(tmp_path):
    import_deploy_modules()
    init_default_scope('mmdet')
    write_pictures(tmp_path, 1)
    model_cfg = Config(dict(
        default_scope='mmdet', model=tiny_rtmdet(),
        test_dataloader=dict(dataset=dataset(tmp_path, pipelines()[1]))))
    deploy_cfg = Config.fromfile(DEPLOY)
    deploy_cfg.onnx_config.input_shape = list(SIZE)
    return model_cfg, deploy_cfg


def test_an_image_keeps_its_ratio_and_is_padded(configs, tmp_path):
    model_cfg, deploy_cfg = configs
    task = build_task_processor(model_cfg, deploy_cfg, 'cpu')
    model = MODELS.build(copy.deepcopy(model_cfg.model)).eval()
    task.prepare_reference(model)
    for image in (str(tmp_path / '000.png'), np.full((30, 60, 3), 255, np.uint8)):
        batch, inputs = task.create_input(image, SIZE, data_preprocessor=model.data_preprocessor)
        assert inputs.shape == (1, 3, SIZE[1], SIZE[0]) and len(batch['data_samples']) == 1
    grey = (torch.full((3, ), 114.) - model.data_preprocessor.mean.flatten()
            ) / model.data_preprocessor.std.flatten()
    assert torch.allclose(inputs[0, :, -1, 0], grey, atol=1e-5)  # half as high as wide
    white = inputs[0, :, 0, 0]
    assert (white > grey).all()
    with pytest.raises(DeployError, match=r"image 'none\.jpg' does not exist"):
        task.create_input('none.jpg', SIZE)


def test_a_config_without_a_visualizer_is_drawn_too(configs, tmp_path):
    task = build_task_processor(*configs, 'cpu')
    assert type(task.get_visualizer('drawn', str(tmp_path))).__name__ == 'DetLocalVisualizer'


def test_torch_suppresses_swapped_corners_as_onnx_does(configs):
    """A detector whose distances are not bounded gives boxes of negative width."""
    import onnxruntime
    from mmdeploy.core import RewriterContext
    from mmdeploy.mmcv.ops.nms import ONNXNMSop
    from onnx import TensorProto, helper
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(1, 60, 4, generator=generator) * 20
    scores = torch.rand(1, 2, 60, generator=generator)
    limits = [helper.make_tensor(name, kind, [1], [value]) for name, kind, value in (
        ('most', TensorProto.INT64, 60), ('overlap', TensorProto.FLOAT, .3),
        ('score', TensorProto.FLOAT, .1))]
    names = ['boxes', 'scores', 'most', 'overlap', 'score']
    graph = helper.make_graph(
        [helper.make_node('NonMaxSuppression', names, ['kept'])], 'graph',
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names[:2]],
        [helper.make_tensor_value_info('kept', TensorProto.INT64, None)], limits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(),
                                           providers=['CPUExecutionProvider'])
    wanted, = session.run(None, dict(boxes=boxes.numpy(), scores=scores.numpy()))
    with RewriterContext(cfg=configs[1], backend='onnxruntime', opset=13):
        found = ONNXNMSop.apply(boxes, scores, 60, .3, .1)
    assert 0 < len(wanted) < 120
    assert set(map(tuple, found.tolist())) == set(map(tuple, wanted.tolist()))


def test_boxes_end_at_the_sides_of_the_image():
    import_deploy_modules()
    from razor_ext.detection.deploy.rewriters import clip_boxes
    dets = torch.tensor([[[-3., -2., 9., 9., .9], [1., 2., 3., 4., .1]]])
    wanted = [[[0., 0., 8., 6., .9], [1., 2., 3., 4., .1]]]
    for shape in ((6, 8), torch.tensor([6, 8])):
        assert torch.allclose(clip_boxes(dets, shape), torch.tensor(wanted))


def test_another_static_size_than_that_of_the_test_images_is_refused(configs):
    model_cfg, deploy_cfg = configs
    deploy_cfg.onnx_config.input_shape = [640, 640]
    with pytest.raises(DeployError, match=(
            r'is \[640, 640\] \(width, height\), but the test pipeline gives images of up to '
            r'\[64, 64\]; set onnx_config\.input_shape=\[64, 64\]')):
        build_task_processor(model_cfg, deploy_cfg, 'cpu')


def test_images_of_no_single_size_need_dynamic_axes(configs, tmp_path):
    model_cfg, deploy_cfg = configs
    steps = model_cfg.test_dataloader.dataset.pipeline
    steps[:] = [step for step in steps if step.type != 'Pad']
    task = build_task_processor(model_cfg, deploy_cfg, 'cpu')
    model = MODELS.build(copy.deepcopy(model_cfg.model))
    with pytest.raises(DeployError, match=r'makes an image of 64 x 47, and .* exports 64 x 64'):
        task.create_input(str(tmp_path / '000.png'), SIZE,
                          data_preprocessor=model.data_preprocessor)


def test_a_config_without_a_test_set_is_refused(configs):
    model_cfg, deploy_cfg = configs
    model_cfg.pop('test_dataloader')
    with pytest.raises(DeployError, match=r'no `test_dataloader` and no `test_pipeline`'):
        build_task_processor(model_cfg, deploy_cfg, 'cpu')


def test_what_is_no_one_stage_detector_is_refused(configs):
    task = build_task_processor(*configs, 'cpu')
    with pytest.raises(UnsupportedDetectorError, match='no detector of one stage'):
        task.prepare_reference(torch.nn.Linear(2, 2))
