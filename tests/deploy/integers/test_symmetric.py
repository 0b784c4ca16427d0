"""The form of integers that TensorRT reads."""
from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
from mmengine.config import Config
from onnx import numpy_helper

from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.errors import AuditError, DeployError
from razor_ext.deploy.integers.grids import layer_grids
from razor_ext.deploy.integers.symmetric import (
    check_pattern,
    insert_symmetric_qdq,
    require_symmetric,
)
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.deploy.report import format_report
from razor_ext.deploy.session import run_onnx
from razor_ext.quantization import (
    QuantConfig,
    calibrate,
    fix_bits,
    quantize_model,
    save_quant,
)

from ..deploy_scene import ROOT, pruned_config
from ..small_net import batches, export, float_net, quantized_net

LAYERS = 7


def quantize(granularity: str = 'tensor', weight_bits: int = 8):
    model = quantized_net(QuantConfig(
        weight_bits=(weight_bits, weight_bits), activation_bits=(8, 8),
        activation_scheme='signed', weight_granularity=granularity))
    return model, insert_symmetric_qdq(export(float_net()), layer_grids(model))


@pytest.mark.parametrize('granularity', ['tensor', 'channel'])
@pytest.mark.parametrize('bits', [8, 5])
def test_pairs_compute_what_torch_does(granularity, bits):
    model, graph = quantize(granularity, bits)
    onnx.checker.check_model(graph)
    assert check_pattern(graph) == {'quantized': LAYERS, 'floating': 0}
    quantizers = [node for node in graph.graph.node if node.op_type == 'QuantizeLinear']
    stored = {item.name: numpy_helper.to_array(item) for item in graph.graph.initializer}
    assert all(stored[node.input[2]].dtype == np.int8 for node in quantizers)
    for batch in batches():
        _, ((found,),) = run_onnx(graph.SerializeToString(), [batch])
        wanted = model(batch).detach().numpy()
        assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()
        unquantized = float_net()(batch).detach().numpy()
        assert np.abs(found - wanted).max() < 0.5 * np.abs(unquantized - wanted).max()


def test_what_has_no_symmetric_form_names_the_way():
    grid = {'scheme': 'signed', 'bits': 8}
    spec = {'layers': {'stem': {'weight': grid, 'activations': {'input': grid}}}}
    require_symmetric(spec)
    for change, message in (({'scheme': 'affine'}, "'input' of layer 'stem' is affine with 8 bits"),
                            ({'bits': 6}, "signed with 6 bits; train with quant=dict")):
        other = copy.deepcopy(spec)
        other['layers']['stem']['activations']['input'].update(change)
        with pytest.raises(DeployError, match=message):
            require_symmetric(other)
    spec['layers']['stem']['weight'] = {**grid, 'bits': 12}
    with pytest.raises(DeployError, match="those of layer 'stem' have 12 bits"):
        require_symmetric(spec)


def test_other_forms_are_named():
    _, graph = quantize('channel')
    quantizer = next(node for node in graph.graph.node if node.op_type == 'QuantizeLinear')
    stored = {item.name: item for item in graph.graph.initializer}

    def changed(name: str, array: np.ndarray) -> onnx.ModelProto:
        other = copy.deepcopy(graph)
        item = next(item for item in other.graph.initializer if item.name == name)
        item.CopyFrom(numpy_helper.from_array(array, name))
        return other

    step = numpy_helper.to_array(stored[quantizer.input[1]])
    for name, array, message in (
            (quantizer.input[2], np.zeros((), np.uint8), 'zero point other than int8 zeros'),
            (quantizer.input[2], np.ones((), np.int8), 'zero point other than int8 zeros'),
            (quantizer.input[1], -step, 'step that is not positive'),
            (quantizer.input[1], np.full(3, step), 'per channel, on an activation')):
        with pytest.raises(AuditError, match=message):
            check_pattern(changed(name, array))
    other = copy.deepcopy(graph)
    conv = next(node for node in other.graph.node if node.op_type == 'Conv')
    conv.input[0] = other.graph.input[0].name
    with pytest.raises(AuditError, match='one quantized input and one in float'):
        check_pattern(other)


def test_a_pose_model_is_written_for_tensorrt(scene, tmp_path):
    """No engine can be built here: the file alone, of a model with symmetric grids."""
    deploy_cfg = Config.fromfile(ROOT / 'configs/deploy/pose_simcc_tensorrt-256x192.py')
    conversion = Conversion(deploy_cfg, pruned_config(), str(scene / 'pruned.pth'), portable=True)
    model = conversion.build_reference()
    images = conversion.create_inputs(conversion.build_task(), model, [str(scene / '0.png')])
    infos = quantize_model(model, QuantConfig(
        weight_bits=(6, 6), activation_bits=(8, 8), activation_scheme='signed',
        weight_granularity='channel'))
    calibrate(model, images, run=lambda model, batch: model(batch, None, mode='tensor'))
    fix_bits(model)
    save_quant(tmp_path / 'quant.json', model, infos)
    out = tmp_path / 'out'

    def run(**options):
        return deploy(deploy_cfg, pruned_config(), str(scene / 'pruned.pth'),
                      str(scene / '0.png'), DeployOptions(
                          work_dir=str(out), quant=str(tmp_path / 'quant.json'), **options))

    with pytest.raises(DeployError, match=r'tensorrt is not installed.*--onnx-only'):
        run()
    with pytest.raises(DeployError, match='not for TensorRT'):
        run(onnx_only=True, pack_int4=True)
    assert not out.exists()
    report = run(onnx_only=True)
    assert {path.name for path in out.iterdir()} == {
        'end2end.onnx', 'end2end_float.onnx', 'report.json'}
    assert report['quantization']['operators'] == {'quantized': 45, 'floating': 0}
    assert report['quantization']['float_layers'] == {}
    assert all(0 < row['max_rel'] < 0.02
               for row in report['quantization']['parity_with_fake_quantization'])
    assert 'layers on integers / in float' in format_report(report)
