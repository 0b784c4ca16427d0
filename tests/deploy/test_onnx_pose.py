"""The example without any OpenMMLab package."""
from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import cv2
import numpy as np
import onnxruntime
import pytest

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


def test_command_draws(deployed, scene, tmp_path):
    output = tmp_path / 'drawn.png'
    done = subprocess.run(
        [sys.executable, EXAMPLE, deployed / 'end2end.onnx', scene / '0.png', output,
         '--score', '-100', '--box', '40', '60', '60', '80'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 17
    assert (cv2.imread(str(output)) != cv2.imread(str(scene / '0.png'))).any()
    done = subprocess.run([sys.executable, EXAMPLE, deployed / 'end2end.onnx', scene / 'no.png',
                           output], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'no.png' in done.stderr


def test_example_is_short_and_plain():
    text = EXAMPLE.read_text()
    assert len(text.splitlines()) <= 60
    imported = {line.split()[1] for line in text.splitlines() if line.startswith('import ')}
    assert imported == {'argparse', 'cv2', 'numpy', 'onnxruntime'}


@pytest.mark.upstream
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason='no photographs here')
def test_same_keypoints_on_photographs(deployed, deploy_cfg):
    people = json.loads((PHOTOGRAPHS / 'test_coco.json').read_text())
    files = {image['id']: image['file_name'] for image in people['images']}
    for person in people['annotations'][:4]:
        check(deployed, deploy_cfg, str(PHOTOGRAPHS / files[person['image_id']]), person['bbox'])
