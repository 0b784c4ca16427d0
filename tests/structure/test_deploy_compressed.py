"""The files of a GETA run go through tools/deploy.py's pipeline, as floats and as integers."""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope

from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.quantization import (
    QuantConfig,
    calibrate,
    fix_bits,
    quantize_model,
    quantizer_handles,
    save_quant,
)
from razor_ext.structure import SubnetError, dump_subnet
from razor_ext.structure.model import pads_to

ROOT = Path(__file__).parents[2]
DEPLOY_CONFIG = ROOT / 'configs/deploy/pose_simcc_onnxruntime_static-256x192.py'
#: Units of the backbone, of the head and of its attention.
SUBNET = {'backbone.stem.0.conv_(0, 4)_4': 3, 'backbone.stage4.2.final_conv.conv_(0, 128)_128': 75,
          'head.mlp.1_(0, 256)_256': 100, 'head.gau.uv_(0, 1024)_512': 200}


def model_config(fix_subnet: str) -> Config:
    config = get_config('mmpose::body_2d_keypoint/rtmpose/coco/'
                        'rtmpose-t_8xb256-420e_coco-256x192.py')
    config.custom_imports = {'imports': ['razor_ext'], 'allow_failed_imports': False}
    config.model.backbone.update(widen_factor=0.125, init_cfg=None)
    config.model.head.in_channels = 128
    config.model._scope_ = 'mmpose'
    config.model = dict(_scope_='mmrazor', type='CompressedModel', architecture=config.model,
                        fix_subnet=fix_subnet)
    return config


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fix_subnet.json, quant.json of 4 to 8 bits, compressed.pth and an image."""
    from mmpose.utils import register_all_modules as register_pose
    from mmrazor.utils import register_all_modules as register_razor
    register_razor(False)
    register_pose(False)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('compressed')
    dump_subnet(SUBNET, folder / 'fix_subnet.json')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpose'):
        model = MODELS.build(model_config(str(folder / 'fix_subnet.json')).model)
    infos = quantize_model(model, QuantConfig(weight_bits=(4, 8), activation_bits=(8, 8)))
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    handles = quantizer_handles(model)
    for handle in handles:
        handle.quantizer.enabled = False
    images = torch.randn(8, 3, 256, 192)
    with torch.no_grad():
        model.train()(images, None)
    for handle in handles:
        handle.quantizer.enabled = True
    calibrate(model, [(images, None)])
    for number, handle in enumerate(handles):
        handle.quantizer.fix_bits_(4 + number % 5)
    fix_bits(model)
    save_quant(folder / 'quant.json', model, infos)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / 'compressed.pth')
    coarse = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    cv2.imwrite(str(folder / '0.png'),
                cv2.resize(coarse, (192, 256), interpolation=cv2.INTER_CUBIC))
    return folder


def deployed(files: Path, work_dir: Path, **options: object) -> dict:
    return deploy(Config.fromfile(DEPLOY_CONFIG), model_config(str(files / 'fix_subnet.json')),
                  str(files / 'compressed.pth'), str(files / '0.png'),
                  DeployOptions(work_dir=str(work_dir), rounds=0, draw=False, **options))


def test_pruned_floats_are_deployed(files: Path, tmp_path: Path) -> None:
    report = deployed(files, tmp_path)
    assert all(row['max_abs'] <= 1e-4 for row in report['parity'])
    assert (tmp_path / 'end2end.onnx').is_file()


def test_learned_integers_are_deployed(files: Path, tmp_path: Path) -> None:
    report = deployed(files, tmp_path, quant=str(files / 'quant.json'))
    layers = json.loads((files / 'quant.json').read_text())['layers']
    assert len(report['quantization']['integer_layers']) > len(layers) // 2
    assert report['onnx']['bytes'] < report['float']['bytes'] / 2


def test_padding_a_model_that_takes_no_image_is_refused() -> None:
    class Walker(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv3d(1, 6, 3)

        def forward(self, inputs, data_samples=None, mode='tensor'):
            raise ValueError('a sequence is needed')

    with pytest.raises(SubnetError, match=r'divisor=4: .* run a Walker on an image \(a sequence is '
                                          r'needed\).*prune with a divisor'):
        pads_to(4)(Walker())
