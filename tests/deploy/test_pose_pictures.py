"""Pictures of poses: in the person's box, and alike for torch and for the file."""
from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from razor_ext.deploy.codebase import ModelCompress
from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.evaluate import as_deployed
from razor_ext.deploy.options import DeployOptions
from razor_ext.deploy.steps import build_source, draw
from razor_ext.pose.deploy.drawing import draw_people

from .deploy_scene import pruned_config

META = dict(skeleton_links=[(0, 1)], skeleton_link_colors=np.array([[255, 0, 0]]),
            keypoint_colors=np.array([[0, 255, 0], [0, 0, 255]]))
CAPTION = 28


@pytest.fixture
def conversion(scene, deploy_cfg) -> Conversion:
    return Conversion(deploy_cfg, pruned_config(divisor=1), str(scene / 'pruned.pth'))


def test_both_pictures_show_the_same(conversion, deployed, scene, tmp_path):
    """MMDeploy's own draw a skeleton for the file, and for torch nothing below a score of 0.3."""
    task, pictures = conversion.build_task(), {}
    task.set_boxes([(12, 30, 90, 150)], None)
    image = str(scene / '1.png')
    for name, model in (('torch', as_deployed(conversion.build_reference())),
                        ('file', task.build_backend_model([str(deployed / 'end2end.onnx')]))):
        for score in (-100., 100.):
            task.draw_prediction(model, image, tmp_path / 'drawn.png', 'a model', score)
            pictures[name, score] = cv2.imread(str(tmp_path / 'drawn.png'))
    for score in (-100., 100.):
        np.testing.assert_array_equal(pictures['torch', score], pictures['file', score])
    drawn, empty = pictures['torch', -100.][:-CAPTION], pictures['torch', 100.][:-CAPTION]
    assert (drawn != empty).any()
    # The box is there in any case, and what is found lies around it.
    zoom = empty.shape[1] // cv2.imread(image).shape[1]
    assert tuple(empty[40 * zoom, round(12.5 * zoom - .5)]) == (0, 200, 0)
    rows, columns = np.nonzero((drawn != empty).any(-1))
    assert columns.max() < zoom * (102 + 45)
    assert rows.max() < zoom * (180 + 40)


def test_the_input_is_the_person(conversion, scene, tmp_path):
    image = str(scene / '0.png')
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(json.dumps([dict(file_name='0.png', bbox=[40, 60, 60, 80], score=.9),
                                 dict(file_name='0.png', bbox=[1, 2, 30, 50], score=.5)]))
    inputs = {}
    for name, options in (('whole', {}), ('box', dict(boxes=[(40, 60, 60, 80)])),
                          ('file', dict(boxes_file=str(boxes)))):
        inputs[name] = build_source(conversion, [image], DeployOptions(**options)).inputs[0]
    assert inputs['box'].shape == (1, 3, 256, 192)
    assert torch.equal(inputs['box'], inputs['file'])
    assert not torch.equal(inputs['box'], inputs['whole'])


def test_boxes_are_for_poses(conversion, scene, monkeypatch):
    monkeypatch.delattr('razor_ext.pose.deploy.task.PeopleInBoxes.set_boxes')
    with pytest.raises(DeployError, match='no model of poses'):
        build_source(conversion, [str(scene / '0.png')], DeployOptions(boxes=[(1, 2, 3, 4)]))
    assert isinstance(conversion.build_task(), ModelCompress)


@pytest.mark.parametrize('quantized', [False, True])
def test_the_torch_picture_of_integers_is_that_of_fake_quantization(quantized, tmp_path):
    """The weights of a quantized model without their grids are another model."""
    drawn = {}

    def draw_prediction(model, image, path, title, score, show):
        drawn[title] = model.name

    def named(name):
        model = torch.nn.Identity()
        model.name = name
        return model

    task = SimpleNamespace(
        build_backend_model=lambda files, **_: named(files[0]), draw_prediction=draw_prediction,
        update_data_preprocessor=None)
    source = SimpleNamespace(task=task, images=['a.jpg'], reference=named('floats'),
                             conversion=SimpleNamespace(backend=SimpleNamespace(name='file')))
    result = SimpleNamespace(backend_files=['end2end.onnx'], quantized=SimpleNamespace(
        reference=named('grids')) if quantized else None)
    draw(source, result, tmp_path, DeployOptions())
    assert drawn == {'file': 'end2end.onnx', 'pytorch': 'grids' if quantized else 'floats'}


def test_what_scores_less_is_not_drawn_and_the_caption_says_so():
    image = np.zeros((160, 120, 3), np.uint8)
    keypoints = np.array([[[20., 30.], [60., 90.]]])
    boxes = np.array([[10., 10., 100., 140.]])

    def drawn(*scores: float) -> np.ndarray:
        return draw_people(image, boxes, keypoints, np.array([scores]), META, .3, 'file')

    both, one, none = drawn(.3, .9), drawn(.3, .2), drawn(.1, .2)
    assert both.shape == (160 * 4 + CAPTION, 480, 3)  # small images are enlarged
    places = [(round((y + .5) * 4 - .5), round((x + .5) * 4 - .5)) for x, y in keypoints[0]]
    assert tuple(both[places[0]]) == (0, 255, 0)
    assert tuple(both[places[1]]) == (255, 0, 0)
    assert tuple(one[places[0]]) == (0, 255, 0)
    assert not one[places[1]].any()
    assert not none[places[0]].any()
    middle = tuple(np.mean(places, 0).round().astype(int))
    assert tuple(both[middle]) == (0, 0, 255)
    assert not one[middle].any()
    assert (both[-CAPTION:] != one[-CAPTION:]).any()
    large = draw_people(np.zeros((700, 500, 3), np.uint8), boxes, keypoints, np.ones((1, 2)), META,
                        .3, 'file')
    assert large.shape == (700 + CAPTION, 500, 3)


def test_info_of_integers_says_so(scene, deploy_cfg, deployed, tmp_path):
    conversion = Conversion(deploy_cfg, pruned_config(divisor=1), str(scene / 'pruned.pth'))
    assert json.loads((deployed / 'deploy.json').read_text())['models'][0]['precision'] == 'FP32'
    conversion.dump_info(tmp_path, integers=True)
    assert json.loads((tmp_path / 'deploy.json').read_text())['models'][0]['precision'] == 'INT8'
