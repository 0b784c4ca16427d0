"""GETA on gait models by the shipped configs, and the errors where nothing would be compressed."""
from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS
from tiny_geta import without_grids

from razor_ext.algorithms.geta.stages import Stages
from razor_ext.compat import safe_load
from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.deploy.session import open_session
from razor_ext.engine import UnreadKeyError, check_config
from razor_ext.gait.deploy.streaming import SET_FEATURES, split_at_set_pooling
from razor_ext.graph import NothingToPruneError
from razor_ext.pruning import TargetMissedError, extract
from razor_ext.quantization import fix_bits, load_quant, quantized_layers
from razor_ext.structure import load_compressed
from razor_ext.structure.rebuild import UnprunedError
from razor_ext.structure.slicing import static_copy

from .gait_compression import (
    FAMILIES,
    ROOT,
    STAGES,
    load,
    onto,
    train,
)

SCRATCH = 'geta_prune_gaitbase-plain-adam_8xb16-60k_casiab-64x44.py'
pytestmark = pytest.mark.usefixtures('analysed_once')
UNITS = {'gaitbase': 9, 'gaitgl': 6}
PRUNE = {'model.checkpoint': None, 'model.stages': STAGES, 'model.divisor': 1}


@pytest.fixture(scope='module', params=list(FAMILIES))
def pruned(request, data, tmp_path_factory):
    """A finished run: its family, its runner and its work_dir."""
    work_dir = tmp_path_factory.mktemp(request.param)
    cfg = load(request.param, 'geta_prune', data, work_dir, **PRUNE)
    return request.param, train(cfg), work_dir


def test_prune_extract_finetune(pruned, data, tmp_path) -> None:
    family, run, work_dir = pruned
    folder = work_dir / 'compressed'
    counts = json.loads((folder / 'fix_subnet.json').read_text())
    graph = run.model.mutator.graph
    assert len(counts) == UNITS[family] and 'head.fc_(0, 8)_8' in counts
    assert graph.macs(counts) <= 0.5 * graph.total_macs
    masked = static_copy(run.model.architecture).eval()
    fix_bits(masked)
    tuned = load(family, 'geta_finetune', data, tmp_path, **{'model.compressed': str(work_dir)})
    init_default_scope(tuned.default_scope)
    sliced = MODELS.build(tuned.model).eval()
    x = torch.rand(2, 1, 7, 64, 44)
    with torch.no_grad():
        expected, found = masked(x), sliced(x)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    assert found.shape[1:] == (32, sliced.head.num_parts)
    extracted, dense = extract(run.cfg, str(work_dir / 'iter_12.pth'))
    with torch.no_grad():
        torch.testing.assert_close(extracted.model(x), found)
    assert extracted.costs(dense)['compressed']['params'] == sum(
        p.numel() for name, p in sliced.named_parameters() if '_quantizer.' not in name)
    layers = load_quant(folder / 'quant.json')
    reason = layers['float_layers']['head.classifier']
    assert ('normalize=True' if family == 'gaitbase' else 'not deployed') in reason
    assert {'Conv2d', 'Conv3d', 'PartLinear'} >= {
        type(module).float_type.__name__ for _, module in quantized_layers(sliced)}
    tuned.train_cfg.max_iters = 2
    train(tuned)
    assert json.loads((tmp_path / 'compressed/fix_subnet.json').read_text()) == counts
    bits = [{name: layer['weight']['bits'] for name, layer in load_quant(path)['layers'].items()}
            for path in (folder / 'quant.json', tmp_path / 'compressed/quant.json')]
    assert bits[0] == bits[1] and len(bits[0]) == len(list(quantized_layers(sliced)))


def test_export_before_the_pruning_is_finished(pruned) -> None:
    """A sliced model is never made of a checkpoint that has not reached the target."""
    _, run, work_dir = pruned
    with pytest.raises((UnprunedError, TargetMissedError),
                       match=r'nothing was pruned|more than the target ratio'):
        extract(run.cfg, str(work_dir / 'iter_4.pth'))


def test_a_misspelt_optimizer_section(tmp_path) -> None:
    """Keys that no tool reads end the run instead of training without compression."""
    base = ROOT / 'configs/pruning/gaitbase' / SCRATCH
    for key, text in (('compression_optimizer', "'geta'"),
                      ('geta_optimizer_cfg', 'dict(target_group_sparsity=0.7)'),
                      ('optim_wraper', 'dict(optimizer=dict(lr=1.))')):
        path = tmp_path / f'{key}.py'
        path.write_text(f'_base_ = {str(base)!r}\n{key} = {text}\n')
        with pytest.raises(UnreadKeyError, match=f'nothing reads the key {key!r}'):
            check_config(Config.fromfile(path))


def test_too_few_iterations_for_the_schedule() -> None:
    """Of the published schedule of 10 000 + 20 000 steps, 30 000 iterations leave no cool-down."""
    cfg = Config.fromfile(ROOT / 'configs/pruning/gaitbase' / SCRATCH)
    stages = cfg.model.stages
    plan = Stages(**stages).resolve(cfg.train_cfg.max_iters)
    assert (plan.pruning_start, plan.pruning_stop, plan.period) == (10000, 30000, 2000)
    with pytest.raises(ValueError, match=r'longer than the run: warmup 10000 .* of 30000'):
        Stages(**stages).resolve(30000)


def test_zero_groups(data, tmp_path) -> None:
    cfg = load('gaitgl', 'geta_prune', data, tmp_path, **PRUNE)
    cfg.model.keep = ['backbone', 'head']
    with pytest.raises(NothingToPruneError, match='nothing to prune'):
        MODELS.build(cfg.model)


def test_the_deployed_file_is_the_compressed_model(pruned, data, tmp_path) -> None:
    """Any length and batch gives torch's embeddings, and the test set torch's rank-1."""
    family, _, work_dir = pruned
    sequence = str(next((data / 'silhouettes/005').rglob('*.pkl')))
    folder = load_compressed(work_dir)
    model_cfg = folder.run_config(quant=None, checkpoint=None)
    deploy_cfg = Config.fromfile(ROOT / 'configs/deploy/gait_onnxruntime_dynamic.py')
    checkpoint = str(tmp_path / 'floats.pth')  # what the integers are to be is another test
    torch.save({'state_dict': without_grids(safe_load(folder.checkpoint_path)['state_dict'])},
               checkpoint)
    report = deploy(deploy_cfg, model_cfg, checkpoint, sequence, DeployOptions(
        work_dir=str(tmp_path), rounds=0, test=True))
    assert report['accuracy']['onnx'] == report['accuracy']['torch']
    assert set(report['accuracy']['onnx']) >= {'gait/NM', 'gait/BG', 'gait/CL'}
    reference = Conversion(deploy_cfg, model_cfg, checkpoint).build_reference()
    reference.tensor_output = 'embedding'
    session = open_session(str(tmp_path / 'end2end.onnx'), threads=1)
    for batch, length in ((1, 3), (2, 4), (3, 31), (4, 60)):
        x = torch.rand(batch, 1, length, 64, 44)
        with torch.no_grad():
            expected = reference(x)
        found = torch.from_numpy(session.run(None, {'input': x.numpy()})[0])
        assert (found - expected).abs().max() < 1e-4 * max(1., float(expected.abs().max()))
    if family == 'gaitgl':
        with pytest.raises(DeployError, match='its frames cannot be taken apart'):
            split_at_set_pooling(tmp_path / 'end2end.onnx', tmp_path)
        return
    frames, head = (open_session(str(path), threads=1) for path in
                    split_at_set_pooling(tmp_path / 'end2end.onnx', tmp_path / 'stream'))
    parts = [frames.run(None, {'input': x[:, :, part].numpy()})[0]
             for part in (slice(0, 1), slice(1, 20), slice(20, 60))]
    streamed = head.run(None, {SET_FEATURES: np.maximum.reduce(parts)})[0]
    assert np.abs(streamed - found.numpy()).max() < 1e-6 * np.abs(streamed).max()
    with pytest.raises(DeployError, match='has no maximum over frames'):
        split_at_set_pooling(tmp_path / 'stream/head.onnx', tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('name', [
    'gaitgl_8xb8-80k_casiab-64x44', 'deepgaitv2-p3d_8xb16-60k_casiab-64x44',
    'gaitset_8xb16-40k_casiab-64x44', 'gaitpart_8xb16-120k_casiab-64x44'])
def test_a_full_size_model_falls_by_more_than_two_fifths(name, data, tmp_path) -> None:
    """At a group sparsity of one half, of what is deployed; and its file is faster."""
    folder, name = name.partition('_')[0].partition('-')[0], f'{name}.py'
    sparse = dict(_delete_=True, kind='sparsity', ratio=0.5)
    prune = onto(Config.fromfile(ROOT / f'configs/pruning/{folder}/geta_prune_{name}'), data,
                 tmp_path / 'prune', **PRUNE, **{'model.target': sparse, 'model.quant': None})
    run = train(prune)
    widths = run.model.mutator.choice_template
    compressed = load_compressed(tmp_path / 'prune')
    counts = compressed.structure
    assert sum(counts.values()) == sum(widths.values()) // 2
    dense = Config.fromfile(ROOT / f'configs/gait/{folder}/{name}')
    torch.save(dict(state_dict=run.model.architecture.state_dict()), tmp_path / 'dense.pth')
    slim = compressed.run_config(quant=None, checkpoint=None)
    deploy_cfg = Config.fromfile(ROOT / 'configs/deploy/gait_onnxruntime_dynamic.py')
    clip = np.random.default_rng(0).integers(0, 2, (30, 64, 64)).astype(np.uint8) * 255
    np.save(tmp_path / 'clip.npy', clip)
    before = deploy(deploy_cfg, dense, str(tmp_path / 'dense.pth'), str(tmp_path / 'clip.npy'),
                    DeployOptions(work_dir=str(tmp_path / 'dense'), rounds=0))
    after = deploy(deploy_cfg, slim, str(compressed.checkpoint_path),
                   str(tmp_path / 'clip.npy'), DeployOptions(
                       work_dir=str(tmp_path / 'slim'), rounds=5,
                       parent=str(tmp_path / 'dense/end2end.onnx')))
    assert after['onnx']['params'] <= 0.6 * before['onnx']['params']
    assert after['latency']['1']['speedup']['parent']['median'] > 1.2
