"""The task of classification says what does not fit before anything is exported."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from tiny_classifier import PREPROCESSOR, SIZE, loader, tiny_repvgg

from razor_ext.engine.errors import DeployError
from razor_ext.engine.families import import_deploy_modules

CONFIGS = Path(__file__).parents[2] / 'configs' / 'deploy'


@pytest.fixture(scope='module')
def build_task():
    """Return a function that builds the task of a dense model under a deploy config."""
    from mmdeploy.apis import build_task_processor
    import_deploy_modules()

    def build(input_shape, **changes):
        deploy_cfg = Config.fromfile(CONFIGS / 'classification_onnxruntime_static-224x224.py')
        deploy_cfg.onnx_config.input_shape = input_shape
        model_cfg = Config({**dict(
            default_scope='mmpretrain', model=tiny_repvgg(), data_preprocessor=PREPROCESSOR,
            test_dataloader=loader(Path('data'), 'test', 1)), **changes})
        return build_task_processor(model_cfg, deploy_cfg, 'cpu')

    return build


def test_an_image_goes_through_the_pipeline_of_the_test_set(build_task, tmp_path):
    cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((50, 70, 3), np.uint8))
    stale = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=9), dict(type='PackInputs')]
    task = build_task(list(SIZE), test_pipeline=stale)
    batch, _ = task.create_input(str(tmp_path / 'image.png'), SIZE)
    assert tuple(batch['inputs'][0].shape) == (3, *SIZE[::-1])


def test_a_static_export_of_another_size_is_refused(build_task):
    with pytest.raises(DeployError, match=(
            r'is \[64, 64\] .*gives images of \[32, 32\]; set onnx_config\.input_shape=\[32')):
        build_task([64, 64])
    build_task(None)


def test_a_config_without_test_images_is_refused(build_task):
    with pytest.raises(DeployError, match='no `test_dataloader` and no `test_pipeline`'):
        build_task(list(SIZE), test_dataloader=None)
