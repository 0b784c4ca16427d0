"""Checkpoints, images and one deployment of a tiny RTMPose with random weights."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from .deploy_scene import DEPLOY_CONFIG, dense_config, pruned_config


@pytest.fixture(scope='session')
def deploy_cfg() -> Config:
    return Config.fromfile(DEPLOY_CONFIG)


@pytest.fixture(scope='session')
def scene(tmp_path_factory) -> Path:
    """Folder with a dense and a pruned checkpoint and two images."""
    from mmengine.registry import MODELS, DefaultScope
    from mmpose.utils import register_all_modules as register_pose
    from mmrazor.utils import register_all_modules as register_razor
    register_razor(False)
    register_pose(False)
    folder = tmp_path_factory.mktemp('deploy')
    torch.manual_seed(0)
    for name, config in (('dense', dense_config()), ('pruned', pruned_config())):
        with DefaultScope.overwrite_default_scope('mmpose'):
            model = MODELS.build(config.model)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.8, 1.5)
                torch.nn.init.normal_(module.bias, 0, 0.2)
        torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / f'{name}.pth')
    generator = np.random.default_rng(0)
    for index in range(2):
        coarse = generator.integers(0, 255, (9, 7, 3), np.uint8)
        cv2.imwrite(str(folder / f'{index}.png'),
                    cv2.resize(coarse, (150 + 40 * index, 220), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture(scope='session')
def deployed(scene, deploy_cfg, tmp_path_factory) -> Path:
    """Work directory of the pruned model, padded to a divisor of 4."""
    from razor_ext.deploy.pipeline import DeployOptions, deploy
    work_dir = tmp_path_factory.mktemp('deployed')
    deploy(deploy_cfg, pruned_config(divisor=4), str(scene / 'pruned.pth'), str(scene / '0.png'),
           DeployOptions(test_images=[str(scene / '0.png'), str(scene / '1.png')],
                         work_dir=str(work_dir), dump_info=True, rounds=2))
    return work_dir
