"""Configs of a tiny RTMPose, dense and pruned."""
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.hub import get_config

ROOT = Path(__file__).parents[2]
DEPLOY_CONFIG = ROOT / 'configs/deploy/pose_simcc_onnxruntime_dynamic-256x192.py'
SUBNET = {'backbone.stem.0.conv_(0, 4)_4': 3, 'backbone.stage1.0.conv_(0, 16)_16': 11,
          'backbone.stage4.2.final_conv.conv_(0, 128)_128': 75}


def dense_config() -> Config:
    """RTMPose of an eighth of the width, without pretrained weights."""
    config = get_config('mmpose::body_2d_keypoint/rtmpose/coco/'
                        'rtmpose-t_8xb256-420e_coco-256x192.py')
    config.custom_imports = {'imports': ['razor_ext'], 'allow_failed_imports': False}
    config.model.backbone.update(widen_factor=0.125, init_cfg=None)
    config.model.head.in_channels = 128
    return config


def pruned_config(fix_subnet=SUBNET, divisor: int = 1) -> Config:
    """The same, as a deploy config of GroupFisher."""
    config = dense_config()
    config.model._scope_ = 'mmpose'
    config.model = {'_scope_': 'mmrazor', 'type': 'GroupFisherDeploySubModel',
                    'architecture': config.model, 'fix_subnet': fix_subnet, 'divisor': divisor}
    return config
