"""Gait models: embeddings of silhouette sequences."""
from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config

from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.gait import GaitDataSample
from razor_ext.quantization import QuantConfig, calibrate, fix_bits, quantize_model, save_quant

from .deploy_scene import ROOT

DEPLOY_CONFIG = ROOT / 'configs/deploy/gait_onnxruntime_dynamic.py'
MODEL_CONFIG = ROOT / 'configs/gait/gaitbase/gaitbase-small_demo-64x44.py'
LENGTHS = (4, 7)


def run(model, batch):
    return model(batch, None, mode='tensor')


@pytest.fixture(scope='module')
def gait(tmp_path_factory):
    """Conversion of a small GaitBase, with sequences of two lengths and a quant.json."""
    folder = tmp_path_factory.mktemp('gait')
    deploy_cfg, model_cfg = Config.fromfile(DEPLOY_CONFIG), Config.fromfile(MODEL_CONFIG)
    conversion = Conversion(deploy_cfg, model_cfg, str(folder / 'gait.pth'))
    task = conversion.build_task()
    torch.manual_seed(0)
    model = conversion.build_model()
    model.init_weights()
    generator = np.random.default_rng(0)
    for length in LENGTHS:
        frames = generator.integers(0, 2, (length, 64, 64)).astype(np.uint8) * 255
        np.save(folder / f'{length}.npy', frames)
    files = [str(folder / f'{length}.npy') for length in LENGTHS]
    inputs = conversion.create_inputs(task, model, files)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        run(model.train(), torch.cat([inputs[0], inputs[0].flip(-1)]))
    torch.save({'state_dict': model.state_dict()}, conversion.checkpoint)
    reference = conversion.build_reference()
    infos = quantize_model(reference, QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8)))
    reference.tensor_output = 'logits'  # the classifier is calibrated as well
    calibrate(reference, inputs, run=run)
    fix_bits(reference)
    save_quant(folder / 'quant.json', reference, infos)
    return conversion, files, inputs


def convert(gait, work_dir, **options) -> dict:
    conversion, files, _ = gait
    return deploy(conversion.deploy_cfg, conversion.model_cfg, conversion.checkpoint, files[0],
                  DeployOptions(test_images=files, work_dir=str(work_dir), rounds=0, **options))


def test_embeddings_of_any_length(gait, tmp_path):
    conversion, _, inputs = gait
    report = convert(gait, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {'end2end.onnx', 'report.json'}
    assert [row['name'] for row in report['parity']] == ['embedding']
    assert report['parity'][0]['max_abs'] < 1e-4 < report['parity'][0]['scale']
    task = conversion.build_task()
    task.model_cfg = copy.deepcopy(task.model_cfg)
    task.model_cfg.model.pop('data_preprocessor')  # as a converted config may have none
    deployed = task.build_backend_model([str(tmp_path / 'end2end.onnx')])
    reference = conversion.build_reference()
    # packed along time, as a test loop gives sequences of unequal lengths
    packed = torch.cat(inputs, dim=2)
    samples = [GaitDataSample(metainfo={'num_frames': length}) for length in LENGTHS]
    with torch.no_grad():
        expected = [run(reference, batch)[0] for batch in inputs]
    for sample, wanted in zip(deployed(packed, samples), expected):
        torch.testing.assert_close(sample.embedding, wanted, rtol=1e-4, atol=1e-4)


def test_integers(gait, tmp_path):
    conversion, *_ = gait
    quant = str(tmp_path.parent / 'unused.json')
    with pytest.raises(DeployError, match=r'unused\.json'):
        convert(gait, tmp_path, quant=quant)
    quant = conversion.checkpoint.replace('gait.pth', 'quant.json')
    report = convert(gait, tmp_path, quant=quant)
    figures = report['quantization']
    assert figures['operators']['QLinearConv'] >= 10
    assert max(max(row['integer'], row['torch'] or 0) for row in figures['integer_layers']) <= 1.001
    assert not {name for row in figures['integer_layers'] for name in [row['layer']]
                if 'classifier' in name}
    for row in figures['parity_with_fake_quantization']:
        assert row['max_rel'] < 0.1


def test_what_is_no_sequence(gait, tmp_path):
    conversion, *_ = gait
    task = conversion.build_task()
    with pytest.raises(DeployError, match=r'uint8 \[frames, height, width\], .*got float64'):
        task.create_input(np.zeros((3, 64, 44)))
    with pytest.raises(DeployError, match='--dump-info'):
        convert(gait, tmp_path, dump_info=True)
    assert not list(tmp_path.iterdir())


def test_deploy_configs_of_the_former_place():
    """Deploy configs written before the family had its deployment name the module so."""
    from razor_ext.deploy import gait_codebase
    from razor_ext.gait.deploy import codebase
    assert gait_codebase.GaitRecognition is codebase.GaitRecognition
    old = Config.fromfile(DEPLOY_CONFIG)
    for module in (['razor_ext.deploy.gait_codebase'], []):  # our own tools need none
        old.codebase_config.module = module
        task = Conversion(old, Config.fromfile(MODEL_CONFIG), '').build_task()
        assert type(task) is codebase.GaitRecognition
