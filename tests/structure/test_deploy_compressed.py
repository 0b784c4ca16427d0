"""The files of a GETA run go through tools/deploy.py's pipeline, as floats and as integers."""
from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope
from tiny_geta import without_grids

from razor_ext.compat import safe_load
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.graph import GraphError
from razor_ext.quantization import (
    QuantConfig,
    calibrate,
    fix_bits,
    quantize_model,
    quantizer_handles,
    save_quant,
)
from razor_ext.structure import StructureError, dump_structure, rebuild, write_compressed
from razor_ext.structure.model import pads_to
from razor_ext.structure.rebuild import UnprunedError

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
    dump_structure(SUBNET, folder / 'fix_subnet.json')
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


def deployed(files: Path, work_dir: Path, weights: str = 'compressed.pth', **options: object
             ) -> dict:
    return deploy(Config.fromfile(DEPLOY_CONFIG), model_config(str(files / 'fix_subnet.json')),
                  str(files / weights), str(files / '0.png'),
                  DeployOptions(work_dir=str(work_dir), rounds=0, draw=False, **options))


def test_weights_without_their_grids_are_refused(files: Path, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match='is of a quantized model'):
        deployed(files, tmp_path)


def test_pruned_floats_are_deployed(files: Path, tmp_path: Path) -> None:
    state = torch.load(files / 'compressed.pth', weights_only=True)['state_dict']
    torch.save({'state_dict': without_grids(state)}, files / 'floats.pth')
    report = deployed(files, tmp_path, 'floats.pth')
    assert all(row['max_abs'] <= 1e-4 for row in report['parity'])
    assert (tmp_path / 'end2end.onnx').is_file()


def test_learned_integers_are_deployed(files: Path, tmp_path: Path) -> None:
    report = deployed(files, tmp_path, quant=str(files / 'quant.json'))
    layers = json.loads((files / 'quant.json').read_text())['layers']
    assert len(report['quantization']['integer_layers']) > len(layers) // 2
    assert report['onnx']['bytes'] < report['float']['bytes'] / 2


def command_line(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', ['deploy', str(DEPLOY_CONFIG), *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools' / 'deploy.py'), run_name='__main__')


@pytest.fixture(scope='module')
def run_dir(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with the compressed folder of the same model."""
    work_dir = tmp_path_factory.mktemp('run')
    config = model_config(str(files / 'fix_subnet.json'))
    with DefaultScope.overwrite_default_scope('mmpose'):
        model = MODELS.build({**config.model, 'quant': str(files / 'quant.json'),
                              'checkpoint': str(files / 'compressed.pth')})
    record = model.compression_record
    write_compressed(model, record.structure, work_dir / 'compressed', record.infos,
                     config=config, units=record.units)
    return work_dir


def test_a_folder_is_all_that_deployment_needs(
        files: Path, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file as from config, checkpoint and quant.json, without analysis."""
    report = deployed(files, tmp_path / 'old', quant=str(files / 'quant.json'))
    monkeypatch.setattr(rebuild, 'analyze', None)
    command_line(monkeypatch, run_dir, files / '0.png', '--work-dir', tmp_path / 'new',
                 '--rounds', '0')
    found = json.loads((tmp_path / 'new' / 'report.json').read_text())
    assert found['quantization'] == report['quantization'] and found['onnx'] == report['onnx']
    for name in ('end2end.onnx', 'end2end_float.onnx'):
        assert (tmp_path / 'new' / name).stat().st_size == \
            (tmp_path / 'old' / name).stat().st_size


@pytest.mark.parametrize('arguments, message', [
    (('nowhere', 'IMAGE'), "deploy: 'nowhere' is no folder; give the compressed folder"),
    (('FILES/..', 'IMAGE'), 'is no compressed folder'),
    (('a', 'b', 'c', 'IMAGE'), 'deploy: 3 paths name the model'),
    (('FOLDER', 'IMAGE', '--cfg-options', 'modle.divisor=2'),
     "nothing reads the key 'modle'; did you mean 'model'"),
    (('FOLDER', 'IMAGE', '--cfg-options', 'model.divisor=2'), 'divisor=2 pads the layers')])
def test_the_command_line_names_what_does_not_fit(
        files: Path, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        arguments: tuple, message: str) -> None:
    places = {'IMAGE': files / '0.png', 'FOLDER': run_dir, 'FILES/..': tmp_path}
    with pytest.raises(SystemExit, match=message):
        command_line(monkeypatch, *(places.get(part, part) for part in arguments))


@pytest.mark.parametrize('error', [GraphError, UnprunedError])
def test_errors_of_the_model_end_in_one_line(files: Path, run_dir: Path, error: type,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise error('the model says no')

    monkeypatch.setattr('razor_ext.deploy.pipeline.deploy', fail)
    with pytest.raises(SystemExit, match='deploy: the model says no'):
        command_line(monkeypatch, run_dir, files / '0.png')


def test_a_folder_is_all_that_testing_needs(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = runpy.run_path(str(ROOT / 'tools' / 'test.py'))
    monkeypatch.setattr(sys, 'argv', ['test', str(run_dir), '--cfg-options',
                                      'model.architecture.test_cfg.flip_test=False'])
    monkeypatch.setattr(rebuild, 'analyze', None)
    config = tool['load'](tool['parse_args']())
    assert config.load_from is None and config.test_dataloader.dataset.type == 'CocoDataset'
    with DefaultScope.overwrite_default_scope('mmpose'):
        model = MODELS.build(config.model)
    assert not model.test_cfg.flip_test
    weights = safe_load(run_dir / 'compressed' / 'compressed.pth')['state_dict']
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    monkeypatch.setattr(sys, 'argv', ['test', str(DEPLOY_CONFIG)])
    with pytest.raises(ValueError, match='give the checkpoint to test'):
        tool['load'](tool['parse_args']())


def test_padding_a_model_that_takes_no_image_is_refused() -> None:
    class Walker(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv3d(1, 6, 3)

        def forward(self, inputs, data_samples=None, mode='tensor'):
            raise ValueError('a sequence is needed')

    with pytest.raises(StructureError, match=r'divisor=4: .* run a Walker on an image \(a sequence '
                                             r'is needed\).*prune with a divisor'):
        pads_to(4)(Walker())
