"""The example without any OpenMMLab package."""
from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from .deploy_scene import ROOT, pruned_config

EXAMPLE = ROOT / 'tools/examples/onnx_pose.py'
PHOTOGRAPHS = ROOT.parent / 'shared/data/pose/coco'


def load_example():
    spec = importlib.util.spec_from_file_location('onnx_pose', EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keypoints_of_mmpose(deployed, deploy_cfg, image: str, box) -> np.ndarray:
    """Keypoints of the same file through MMPose's own pipeline and decoder."""
    from mmcv.transforms import Compose
    from mmdeploy.apis.utils import build_task_processor
    from mmpose.apis.inference import dataset_meta_from_config
    from mmpose.registry import TRANSFORMS
    config = pruned_config()
    task = build_task_processor(config, deploy_cfg, 'cpu')
    model = task.build_backend_model([str(deployed / 'end2end.onnx')])
    pipeline = Compose([TRANSFORMS.build(step) for step in
                        config.test_dataloader.dataset.pipeline])
    x, y, w, h = box
    sample = pipeline({'img': cv2.imread(image), 'bbox': np.array([[x, y, x + w, y + h]]),
                       'bbox_score': np.ones(1), 'img_path': image,
                       **dataset_meta_from_config(config, 'test')})
    result = model.test_step({'inputs': [sample['inputs']],
                              'data_samples': [sample['data_samples']]})
    return result[0].pred_instances.keypoints[0]


def check(deployed, deploy_cfg, image: str, box) -> None:
    session = onnxruntime.InferenceSession(deployed / 'end2end.onnx')
    keypoints, scores = load_example().locate(session, cv2.imread(image), box)
    assert keypoints.shape == (17, 2)
    assert scores.shape == (17,)
    expected = keypoints_of_mmpose(deployed, deploy_cfg, image, box)
    assert expected.std() > 1  # not all in one place
    np.testing.assert_allclose(keypoints, expected, atol=1e-2)


def test_same_keypoints_as_mmpose(deployed, deploy_cfg, scene):
    check(deployed, deploy_cfg, str(scene / '1.png'), (12, 30, 90, 150))
    check(deployed, deploy_cfg, str(scene / '1.png'), (0, 60, 190, 80))


def run_example(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, EXAMPLE, *map(str, arguments)], capture_output=True,
                          text=True)


def test_command_draws(deployed, scene, tmp_path):
    output = tmp_path / 'drawn.png'
    done = run_example(deployed / 'end2end.onnx', scene / '0.png', output, '--score', '-100',
                       '--box', 40, 60, 60, 80)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 17
    assert (cv2.imread(str(output)) != cv2.imread(str(scene / '0.png'))).any()
    done = run_example(deployed / 'end2end.onnx', scene / 'no.png', output)
    assert done.returncode == 2
    assert 'no.png' in done.stderr


def test_an_empty_picture_is_explained(deployed, scene, tmp_path):
    done = run_example(deployed / 'end2end.onnx', scene / '0.png', tmp_path / 'drawn.png',
                       '--score', 100)
    assert re.search(r'no keypoint is drawn: the best score is [-\d.]+, and --score is 100; the '
                     r'whole image .* --box, --boxes or --detector', done.stdout)
    (tmp_path / 'none.json').write_text('[]')
    done = run_example(deployed / 'end2end.onnx', scene / '0.png', tmp_path / 'drawn.png',
                       '--boxes', tmp_path / 'none.json')
    assert 'no person: neither' in done.stdout


def test_a_film_is_drawn_frame_by_frame(deployed, tmp_path):
    film = cv2.VideoWriter(str(tmp_path / 'walk.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 10,
                           (160, 120))
    for index in range(3):
        film.write(np.full((120, 160, 3), 40 * index, np.uint8))
    film.release()
    # A person in the second frame only.
    (tmp_path / 'boxes.json').write_text(json.dumps([dict(image_id=1, bbox=[40, 30, 60, 80])]))
    done = run_example(deployed / 'end2end.onnx', tmp_path / 'drawn.mp4', '--video',
                       tmp_path / 'walk.mp4', '--boxes', tmp_path / 'boxes.json', '--score', -100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ['3 frames']
    drawn = cv2.VideoCapture(str(tmp_path / 'drawn.mp4'))
    frames = [drawn.read()[1] for _ in range(3)]
    assert [frame.std() > 5 for frame in frames] == [False, True, False]
    assert not drawn.read()[0]
    done = run_example(deployed / 'end2end.onnx', tmp_path / 'drawn.mp4', '--video', 'no.mp4')
    assert done.returncode == 2
    assert 'no.mp4' in done.stderr


def write_detector(path: Path, dets: list, labels: list) -> None:
    """Write a file in the form of an exported detector, which finds the same in any image."""
    nodes = [helper.make_node('Constant', [], [name], value=numpy_helper.from_array(value[None]))
             for name, value in (('dets', np.array(dets, np.float32)),
                                 ('labels', np.array(labels, np.int64)))]
    graph = helper.make_graph(
        nodes, 'detector',
        [helper.make_tensor_value_info('input', TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info('dets', TensorProto.FLOAT, [1, len(dets), 5]),
         helper.make_tensor_value_info('labels', TensorProto.INT64, [1, len(labels)])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8),
              path)


def test_a_detector_finds_the_people(tmp_path):
    write_detector(tmp_path / 'detector.onnx', [
        [8, 16, 24, 48, .5], [0, 0, 64, 64, .1], [0, 8, 32, 48, .9], [1, 1, 9, 9, .8]],
        [0, 0, 0, 2])
    session = onnxruntime.InferenceSession(tmp_path / 'detector.onnx')
    # 128 x 96 pixels fill 64 x 48 of the input; a chair and a doubtful person are left out.
    found = load_example().detect(session, np.zeros((96, 128, 3), np.uint8))
    np.testing.assert_allclose(found, [[0, 16, 64, 80], [16, 32, 32, 64]])


def test_a_detector_sees_what_its_pipeline_makes(monkeypatch):
    """Padding and normalisation are RTMDet's, see its config in MMDetection."""
    pytest.importorskip('mmdet')
    from mmcv.transforms import Compose
    from mmdet.registry import TRANSFORMS
    from mmdet.utils import register_all_modules
    from mmengine.hub import get_config
    register_all_modules(False)
    seen = {}

    class Session:
        def get_inputs(self):
            return [type('Node', (), dict(name='input', shape=[1, 3, 640, 640]))]

        def run(self, names, feed):
            seen.update(feed)
            return np.zeros((1, 0, 5), np.float32), np.zeros((1, 0), np.int64)

    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    load_example().detect(Session(), image)
    config = get_config('mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py')
    steps = [step for step in config.test_pipeline if step['type'] in ('Resize', 'Pad')]
    expected = Compose([TRANSFORMS.build(step) for step in steps])({'img': image})['img']
    preprocessor = config.model.data_preprocessor
    expected = (expected - np.array(preprocessor.mean)) / np.array(preprocessor.std)
    np.testing.assert_allclose(seen['input'][0].transpose(1, 2, 0), expected, atol=1e-4)


def test_example_is_short_and_plain():
    text = EXAMPLE.read_text()
    assert len(text.splitlines()) <= 200
    imported = {line.split()[1] for line in text.splitlines()
                if line.startswith(('import ', 'from '))}
    assert imported == {'argparse', 'cv2', 'json', 'numpy', 'onnxruntime', 'pathlib'}


@pytest.mark.upstream
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason='no photographs here')
def test_same_keypoints_on_photographs(deployed, deploy_cfg):
    people = json.loads((PHOTOGRAPHS / 'test_coco.json').read_text())
    files = {image['id']: image['file_name'] for image in people['images']}
    for person in people['annotations'][:4]:
        check(deployed, deploy_cfg, str(PHOTOGRAPHS / files[person['image_id']]), person['bbox'])
