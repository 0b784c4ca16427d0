"""quant.json through the whole deployment."""
from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from mmengine.config import Config

from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.integers.quantized import quantize_export
from razor_ext.deploy.latency.measure import require_faster
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.deploy.report import format_report
from razor_ext.quantization import (
    QuantConfig,
    QuantFileError,
    calibrate,
    fix_bits,
    quantize_model,
    save_quant,
)

from ..deploy_scene import ROOT, SUBNET, pruned_config


@pytest.fixture(scope='module')
def built(scene, deploy_cfg) -> tuple:
    """The pruned float model and two inputs."""
    conversion = Conversion(deploy_cfg, pruned_config(), str(scene / 'pruned.pth'))
    task = conversion.build_task()
    model = conversion.build_reference()
    return model, conversion.create_inputs(task, model, [str(scene / f'{i}.png') for i in (0, 1)])


@pytest.fixture(scope='module')
def quant_file(scene, built) -> Path:
    """quant.json of the pruned model, with widths of 4 and 8."""
    model, inputs = copy.deepcopy(built[0]), built[1]
    infos = quantize_model(model, QuantConfig(
        weight_bits=(8, 8), activation_bits=(8, 8),
        layers={'backbone.stage1.0.conv': {'weight_bits': (4, 4)}}))
    calibrate(model, inputs, run=lambda model, batch: model(batch, None, mode='tensor'))
    fix_bits(model)
    save_quant(scene / 'quant.json', model, infos)
    return scene / 'quant.json'


def convert(deploy_cfg, config, scene, work_dir, quant_file, **options) -> dict:
    options = {'rounds': 0, 'draw': False, 'quant': str(quant_file), **options}
    return deploy(deploy_cfg, config, str(scene / 'pruned.pth'), str(scene / '0.png'),
                  DeployOptions(work_dir=str(work_dir), **options))


@pytest.fixture(scope='module')
def integers(scene, deploy_cfg, quant_file, tmp_path_factory) -> tuple[Path, dict]:
    """Work directory and report of a deployment."""
    work_dir = tmp_path_factory.mktemp('integers')
    return work_dir, convert(deploy_cfg, pruned_config(), scene, work_dir, quant_file, rounds=3,
                             force=True, compare_static=True, pack_int4=True,
                             calibration_images=[str(scene / '1.png')])


def test_integers_are_deployed(integers):
    work_dir, report = integers
    assert {path.name for path in work_dir.iterdir()} == {
        'end2end.onnx', 'end2end_float.onnx', 'end2end_static.onnx', 'report.json'}
    assert report['onnx']['bytes'] < report['float']['bytes'] / 2
    assert report['onnx']['macs'] == report['float']['macs']
    figures = report['quantization']
    assert figures['operators']['QLinearConv'] >= 35
    assert max(max(row['integer'], row['torch'] or 0) for row in figures['integer_layers']) <= 1.001
    assert 0 < figures['relative_bops'] < 0.5
    assert set(report['latency']['1']['speedup']) == {'float', 'static'}
    assert set(report['error_to_float']) == {'onnx', 'static'}
    text = format_report(json.loads((work_dir / 'report.json').read_text()))
    assert 'layers on integers / in float' in text
    assert 'layers with weights two to a byte' in text
    assert 'faster than float, 1 thread(s)' in text


def test_quant_file_of_another_structure(scene, deploy_cfg, quant_file, tmp_path):
    content = json.loads(quant_file.read_text())
    content['structure'] = '0' * 64
    other = tmp_path / 'other.json'
    other.write_text(json.dumps(content))
    out = tmp_path / 'out'
    with pytest.raises(QuantFileError, match=r'fix_subnet\.json'):
        convert(deploy_cfg, pruned_config(SUBNET), scene, out, other)
    with pytest.raises(DeployError, match=r'divisor=4.*model\.divisor=1'):
        convert(deploy_cfg, pruned_config(divisor=4), scene, out, quant_file)
    with pytest.raises(DeployError, match='does not exist'):
        convert(deploy_cfg, pruned_config(), scene, out, tmp_path / 'missing.json')
    other = Config.fromfile(ROOT / 'configs/deploy/pose_simcc_ncnn-256x192.py')
    with pytest.raises(DeployError, match='no integers are written for ncnn'):
        convert(other, pruned_config(), scene, out, quant_file)
    assert not list(out.glob('*'))


def test_missing_calibration(scene, deploy_cfg, quant_file, tmp_path):
    out = tmp_path / 'out'
    with pytest.raises(DeployError, match=r"'nowhere\.png' does not exist"):
        convert(deploy_cfg, pruned_config(), scene, out, quant_file,
                calibration_images=['nowhere.png'])
    bare = tmp_path / 'bare.py'
    bare.write_text('a = 1')
    with pytest.raises(DeployError, match=r'bare\.py.* has no `val_dataloader`'):
        convert(deploy_cfg, pruned_config(), scene, out, quant_file, calibration_config=str(bare))
    with pytest.raises(DeployError, match='--calib-img'):
        quantize_export('unused.onnx', None, quant_file, [], [])
    assert not out.exists()


def test_quant_file_rebuilds_the_same_file(built, quant_file, integers):
    """quant.json and the float checkpoint are all it takes."""
    folder, report = integers
    model, inputs = built
    again = quantize_export(folder / 'end2end_float.onnx', model, quant_file, inputs[1:],
                            inputs[:1], pack=True)
    assert again.packed == ('backbone.stage1.0.conv',)
    assert (folder / 'end2end.onnx').read_bytes() == again.model.SerializeToString()
    assert report['quantization']['packed_layers'] == ['backbone.stage1.0.conv']


def latency(**ratios) -> dict:
    return {'1': {'speedup': {name: {'min': median / 2, 'median': median, 'max': median * 2}
                              for name, median in ratios.items()}}}


@pytest.mark.smoke
def test_a_slower_result_is_refused():
    require_faster(latency(float=1.2))
    require_faster({})
    require_faster(latency(float=0.5, parent=1.5))  # what was asked for goes before the float file
    with pytest.raises(DeployError, match=r'slower than its float: .* 0\.40 / 0\.80.*--force'):
        require_faster(latency(float=0.8))
    with pytest.raises(DeployError, match='slower than its parent'):
        require_faster(latency(float=2.0, parent=0.9))
