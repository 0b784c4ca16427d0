"""What every backend keeps to, by rows over all that are registered."""
from __future__ import annotations

import copy
import shutil
import sys
from types import SimpleNamespace

import onnx
import pytest
import torch
from mmengine.config import Config

from razor_ext.deploy.backends import BACKENDS, Backend, find_backend, find_runner
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.parity import require
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.deploy.report import format_report
from razor_ext.deploy.session import open_session

from ..deploy_scene import DEPLOY_CONFIG, pruned_config
from ..small_net import batches, export
from .net import Net

#: Suffix, form of integers, most bits of weights and activations, what runs, draws, is timed.
ROWS = {
    'onnxruntime': ('.onnx', 'Q/DQ on the trained grids', 16, 16, True, True, True),
    'openvino': ('.xml', 'Q/DQ on the trained grids', 16, 8, True, False, True),
    'ncnn': ('.param', None, None, None, True, False, True),
    'tensorrt': ('.engine', 'symmetric Q/DQ pairs', 8, 8, False, True, False),
}
NAMES = sorted(BACKENDS.module_dict)
INTEGER_NAMES = [name for name in NAMES if find_backend(name).integers]


def grids(weight: int = 8, activation: int = 8, scheme: str = 'signed') -> dict:
    """Content of a quant.json."""
    stem = {'weight': {'bits': weight}, 'activations': {'input': {'bits': 8, 'scheme': scheme}}}
    head = {'weight': None, 'activations': {'left': {'bits': activation, 'scheme': scheme}}}
    return {'layers': {'stem': stem, 'head': head}}


@pytest.mark.parametrize('name', NAMES)
def test_capabilities_are_stated(name):
    backend = find_backend(name)
    integers = backend.integers
    assert (backend.name, isinstance(backend.title, str)) == (name, True)
    assert ROWS[name] == (
        backend.suffix, integers and integers.form.name, integers and integers.weight_bits,
        integers and integers.activation_bits, backend.runs_here, backend.draws, backend.timed)


@pytest.mark.parametrize('name', INTEGER_NAMES)
def test_what_is_too_wide_is_named(name):
    backend = find_backend(name)
    most = backend.integers
    assert backend.check_grids(grids(min(8, most.weight_bits))) is most
    with pytest.raises(DeployError, match=rf"weights of layer 'stem' have {most.weight_bits + 1} "
                                          rf'bits, {name} computes at most {most.weight_bits}'):
        backend.check_grids(grids(weight=most.weight_bits + 1))
    with pytest.raises(DeployError, match=rf"activations of layer 'head' have .* bits, {name}"):
        backend.check_grids(grids(activation=most.activation_bits + 1))


@pytest.mark.parametrize('name', [*(name for name in NAMES if name not in INTEGER_NAMES), 'rknn'])
def test_no_integers_are_refused_with_the_reason(name):
    with pytest.raises(DeployError, match=f'no integers are written for {name}: .*deploy for '
                                          'onnxruntime, openvino, tensorrt'):
        find_backend(name).check_grids(grids())


@pytest.mark.smoke
def test_widths_a_backend_cannot_compute():
    spec = {'layers': {
        'stem': {'weight': {'bits': 16}, 'activations': {'input': {'bits': 8}}},
        'head': {'weight': None, 'activations': {'left': {'bits': 4}, 'right': {'bits': 12}}}}}
    onnxruntime, openvino = find_backend('onnxruntime'), find_backend('openvino')
    onnxruntime.check_grids(spec)
    with pytest.raises(DeployError, match=r"activations of layer 'head' have 12 bits, openvino.*8"
                                          '.*or deploy for onnxruntime$'):
        openvino.check_grids(spec)
    spec['layers']['head']['activations']['right']['bits'] = 8
    openvino.check_grids(spec)
    spec['layers']['stem']['weight']['bits'] = 17
    with pytest.raises(DeployError, match=r"weights of layer 'stem' have 17 bits, onnxruntime.* "
                                          'narrower range$'):
        onnxruntime.check_grids(spec)
    for name, reason in (('ncnn', 'QuantizeLinear'), ('rknn', 'tried')):
        with pytest.raises(DeployError, match=f'no integers are written for {name}: .*{reason}'):
            find_backend(name).check_grids(spec)


def test_grids_without_a_symmetric_form_are_refused_before_the_export():
    with pytest.raises(DeployError, match="'input' of layer 'stem' is affine"):
        find_backend('tensorrt').check_grids(grids(scheme='affine'))


@pytest.mark.parametrize('name', NAMES)
def test_options_for_another_backend_are_refused(name):
    backend = find_backend(name)
    fields = ('parent', 'compare_static', 'pack_int4')
    backend.check_options(DeployOptions())
    for field in fields:
        options = SimpleNamespace(**dict.fromkeys(fields))
        setattr(options, field, True)
        if field in backend.unfit_options:
            with pytest.raises(DeployError, match=rf'--parent, --compare-static and --pack-int4 '
                                                  rf'.*not for {backend.title}'):
                backend.check_options(options)
        else:
            backend.check_options(options)


@pytest.mark.parametrize('name', NAMES)
def test_file_belongs_to_its_backend(name):
    backend = find_backend(name)
    path = f'end2end{backend.suffix}'
    if backend.runs_here:
        assert find_runner(path).name == name
        return
    with pytest.raises(DeployError, match=rf'{path}.*\.onnx \(onnxruntime\)'):
        find_runner(path)
    with pytest.raises(DeployError, match=backend.title):
        backend.load(path)


@pytest.mark.parametrize('name', NAMES)
def test_missing_converter_is_named(name, monkeypatch):
    backend = find_backend(name)
    for package in getattr(backend, 'packages', ()):
        monkeypatch.setitem(sys.modules, package, None)
        assert not backend.is_installed()
        with pytest.raises(DeployError, match=f'{package} is not installed: pip install'):
            backend.require_installed()
        monkeypatch.setitem(sys.modules, package, sys)
    monkeypatch.undo()
    if not backend.is_installed():
        with pytest.raises(DeployError, match='is not installed'):
            backend.require_installed()


@pytest.mark.parametrize('name', NAMES)
def test_small_model_agrees_with_torch(name, tmp_path):
    backend = find_backend(name)
    if not backend.is_installed() or not backend.runs_here:
        pytest.skip(f'{name} cannot be run here')
    torch.manual_seed(0)
    model, inputs = Net().eval(), batches(2)
    graph = export(model)
    onnx.save(graph, tmp_path / 'a.onnx')
    names = [value.name for value in graph.graph.output]
    files = backend.convert(tmp_path / 'a.onnx', tmp_path, model=model, batch=inputs[0][:1],
                            deploy_cfg=Config.fromfile(DEPLOY_CONFIG))
    assert files[0] == str(tmp_path / f'a{backend.suffix}')
    rows = backend.compare(files[0], model, inputs, names)
    assert [row.name for row in rows] == names
    require(rows, 1e-4)
    found = backend.wrapper(files[0], names)({'input': inputs[0]})
    for output, wanted in zip(found.values(), model(inputs[0])):
        torch.testing.assert_close(output, wanted.detach(), rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        model.conv.weight += 0.1
    assert max(row.error for row in backend.compare(files[0], model, inputs, names)) > 1e-2


@pytest.fixture
def added():
    """A backend of one class, under a name of MMDeploy that nothing here knows."""

    @BACKENDS.register_module('rknn')
    class Copied(Backend):
        title, suffix, runs_here, draws, rewrites_graph = 'Copied', '.copied', True, False, False

        def require_installed(self) -> None:
            pass

        def convert(self, onnx_file, folder, **_) -> list[str]:
            path = folder / f'{onnx_file.stem}.copied'
            shutil.copy(onnx_file, path)
            return [str(path)]

        def load(self, path):
            session = open_session(path, threads=1)
            return lambda batch: session.run(None, {'input': batch})

    yield Copied
    del BACKENDS.module_dict['rknn']


def test_another_backend_is_one_class(added, scene, tmp_path):
    config = copy.deepcopy(Config.fromfile(DEPLOY_CONFIG))
    config.backend_config = dict(type='rknn')
    report = deploy(config, pruned_config(), str(scene / 'pruned.pth'), str(scene / '0.png'),
                    DeployOptions(work_dir=str(tmp_path), rounds=0))
    assert {path.name for path in tmp_path.iterdir()} == {
        'end2end.onnx', 'end2end.copied', 'report.json'}
    assert [row['name'] for row in report['backend_parity']] == ['simcc_x', 'simcc_y']
    assert all(0 < row['max_abs'] < 1e-4 for row in report['backend_parity'])
    assert find_runner(tmp_path / 'end2end.copied').name == 'rknn'
    report['accuracy'] = {name: {'AP': value} for name, value in
                          (('torch', 0.5), ('onnx', 0.5), ('rknn', 0.25))}
    (line,) = [line for line in format_report(report).splitlines() if "Copied's file" in line]
    assert '0.2500' in line
