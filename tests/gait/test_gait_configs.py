from __future__ import annotations

import copy
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS, DefaultScope

import razor_ext  # noqa: F401
from razor_ext.engine.config_check import check_config
from razor_ext.gait.visualization import condition_rows, silhouette_strip, view_chart

from .gait_builders import gaitbase
from .gait_trees import PIPELINE, dataset_cfg, run_tool, write_tree

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, 'PYTHONPATH': str(ROOT)}
CONFIGS = sorted(p for p in (ROOT / 'configs/gait').rglob('*.py') if '_base_' not in p.parts)
MILLIONS = {
    'gaitbase_8xb16-60k_casiab-64x44': 7.305, 'gaitbase-plain_8xb16-60k_casiab-64x44': 3.779,
    'gaitbase_32xb8-120k_oumvlp-64x44': 28.11, 'gaitbase_32xb4-60k_gait3d-64x44': 19.29,
    'gaitbase_32xb4-180k_grew-64x44': 88.92, 'gaitgl_8xb8-80k_casiab-64x44': 3.097,
    'gaitgl_32xb8-210k_oumvlp-64x44': 95.62,
    'deepgaitv2-p3d_8xb16-60k_casiab-64x44': 8.339, 'deepgaitv2-p3d_32xb8-120k_oumvlp-64x44': 29.14,
    'deepgaitv2-p3d_32xb4-60k_gait3d-64x44': 25.49, 'deepgaitv2-p3d_32xb4-180k_grew-64x44': 95.12,
    'deepgaitv2-2d_32xb4-60k_gait3d-64x44': 23.72, 'deepgaitv2-3d_32xb4-60k_gait3d-64x44': 41.86,
    'skeletongait_32xb4-60k_gait3d-64x44': 25.49,
    'skeletongaitpp_32xb4-60k_gait3d-64x44': 25.57, 'multigaitpp_32xb4-60k_gait3d-64x44': 28.56,
    'gaitset_8xb16-40k_casiab-64x44': 2.595, 'gaitset_32xb16-250k_oumvlp-64x44': 6.314,
    'gaitset_32xb4-250k_grew-64x44': 6.314, 'gaitpart_8xb16-120k_casiab-64x44': 1.204,
    'gaitpart_32xb16-250k_oumvlp-64x44': 4.841, 'gaitpart_32xb4-250k_grew-64x44': 4.841,
    'gln_8xb16-40k_casiab-128x88': 8.542, 'gln-compact_8xb16-40k_casiab-128x88': 14.70,
}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_configs_are_whole(path):
    cfg = Config.fromfile(path)
    check_config(cfg)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
        channels = model.backbone.in_channels
        out = model.eval()(torch.zeros(2, channels, 6, 64, 44))
    assert out.shape == (2, cfg.model.head.embed_channels, cfg.model.head.num_parts)
    if path.stem in MILLIONS:
        count = sum(p.numel() for p in model.parameters()) / 1e6
        expected = MILLIONS[path.stem]
        assert round(count, 2 if expected > 10 else 3) == expected
    sampler = cfg.train_dataloader.batch_sampler
    name = path.stem.split('_')[1]
    if 'xb' in name:  # PxbK in the name is what is drawn
        people, sequences = name.split('-')[0].split('xb')
        assert sampler.subjects == int(people)
        assert cfg.train_dataloader.batch_size == int(people) * int(sequences)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.type in DATASETS
        for step in loader.dataset.pipeline:
            TRANSFORMS.build(step)
        assert loader.dataset.pipeline[0].get('channels', 1) == channels
    METRICS.build(cfg.val_evaluator)
    METRICS.build(cfg.test_evaluator)


def test_published_training_is_opengaits():
    """Milestones, augmentations and the mixing of batches of the shipped published configs."""
    milestones = {'gaitbase_8xb16-60k_casiab-64x44': [20000, 40000, 50000],
                  'gaitbase-plain_8xb16-60k_casiab-64x44': [20000, 40000],
                  'gaitbase_32xb8-120k_oumvlp-64x44': [60000, 80000, 100000],
                  'gaitbase_32xb4-60k_gait3d-64x44': [20000, 40000, 50000],
                  'gaitbase_32xb4-180k_grew-64x44': [80000, 120000, 150000],
                  'gaitgl_8xb8-80k_casiab-64x44': [70000],
                  'gaitgl_32xb8-210k_oumvlp-64x44': [150000, 200000]}
    for path in CONFIGS:
        if path.stem not in milestones:
            continue
        cfg = Config.fromfile(path)
        assert cfg.param_scheduler.milestones == milestones[path.stem]
        steps = cfg.train_dataloader.dataset.pipeline
        kinds = [s.type for s in steps]
        assert all(s.style == 'opengait' for s in steps if s.type in (
            'RotateSequence', 'PerspectiveSequence', 'EraseSequence', 'FlipSequence'))
        if 'PerspectiveSequence' in kinds:  # before the sides are cut
            assert kinds.index('PerspectiveSequence') < kinds.index('CropSides')
        assert cfg.train_dataloader.batch_sampler.shuffle


def test_every_published_setting_has_a_config():
    assert set(MILLIONS) <= {p.stem for p in CONFIGS}


def test_builds_inside_another_scope():
    mmrazor = pytest.importorskip('mmrazor.registry')
    small = gaitbase(5, (4, 6, 8, 10), 7)
    algorithm = {'type': 'mmrazor.BaseAlgorithm', 'architecture': {**small, '_scope_': 'mmrazor'}}
    model = MODELS.build(copy.deepcopy(algorithm))
    assert type(model.architecture).__name__ == 'GaitRecognizer'
    assert type(model.data_preprocessor).__name__ == 'GaitDataPreprocessor'
    with DefaultScope.overwrite_default_scope('mmrazor'):
        mmrazor.MODELS.build({**copy.deepcopy(algorithm), 'type': 'BaseAlgorithm',
                              'architecture': copy.deepcopy(small)})
        TRANSFORMS.build({'type': 'CropSides'})
        HOOKS.build({'type': 'GaitVisualizationHook'})
    out = model(torch.rand(1, 1, 3, 64, 44), mode='tensor')
    assert out.shape == (1, 7, 16)


def test_strip_and_chart(tmp_path):
    write_tree(tmp_path, ['001'], ['nm-01', 'nm-02', 'bg-01'], ['000', '018', '036'])
    dataset = DATASETS.build(dataset_cfg(tmp_path, pipeline=PIPELINE))
    rows = condition_rows(dataset)
    assert list(rows) == ['bg', 'nm'] and rows['nm'].shape == (6, 64, 64)
    strip = silhouette_strip(rows, 4)
    assert strip.shape == (128, 56 + 4 * 64, 3)
    assert np.array_equal(strip[64:, 56:120, 0], rows['nm'][0])
    with pytest.raises(ValueError, match=r"view '090'; the views of this subject are \['000'"):
        condition_rows(dataset, view='090')
    low = view_chart({'NM': {'000': 10., '018': 20.}})
    high = view_chart({'NM': {'000': 80., '018': 90.}})
    assert low.shape == high.shape and not np.array_equal(low, high)


def demo_config(tmp_path):
    """A config of very small walkers that inherits the small one."""
    small = {'num_train': 4, 'num_test': 3, 'views': ['000', '090'], 'frames': (8, 9),
             'data_root': str(tmp_path / 'demo')}
    base = ROOT / 'configs/gait/gaitbase/gaitbase-small_demo-64x44.py'
    path = tmp_path / 'tiny.py'
    path.write_text(Config({
        '_base_': [os.path.relpath(base, tmp_path)],
        'train_dataloader': {'batch_size': 8, 'batch_sampler': {'subjects': 4}, 'dataset': small},
        'val_dataloader': {'dataset': small}, 'test_dataloader': {'dataset': small},
        'train_cfg': {'max_iters': 2, 'val_interval': 2},
        'default_hooks': {'checkpoint': {'interval': 2}}}).pretty_text)
    return path


def test_trains_tests_and_draws(tmp_path, monkeypatch):
    config = demo_config(tmp_path)
    env = {**ENV, 'OMP_NUM_THREADS': '1', 'PORT': '29655', 'PYTHONWARNINGS': 'ignore'}

    def run(*command):
        out = subprocess.run([str(c) for c in command], cwd=ROOT, env=env, capture_output=True,
                             text=True)
        assert out.returncode == 0, out.stderr[-3000:]
        return out.stdout + out.stderr

    def table(text):
        return text[text.index('===Rank-1 (Include'):].split('\nCL:    [')[1].split(']')[0]

    work = tmp_path / 'work'
    run(sys.executable, 'tools/train.py', config, '--work-dir', work)
    checkpoint = work / 'iter_2.pth'
    images = {p.name for p in work.rglob('*.png')}
    assert images == {'silhouettes_0.png', 'rank1_by_view_2.png'}
    one = run(sys.executable, 'tools/test.py', config, checkpoint, '--work-dir', tmp_path / 'one')
    two = run('bash', 'tools/dist_test.sh', config, checkpoint, '2', '--work-dir',
              tmp_path / 'two')
    assert table(one) == table(two)
    figures, = (tmp_path / 'one').rglob('rank1_by_view.json')
    assert set(json.loads(figures.read_text())) == {'NM', 'BG', 'CL'}
    run_tool(monkeypatch, 'visualize.py', 'chart', figures, tmp_path / 'chart.png')
    run_tool(monkeypatch, 'visualize.py', 'strip', config, tmp_path / 'strip.png')
    assert cv2.imread(str(tmp_path / 'chart.png')).std() > 5
    assert cv2.imread(str(tmp_path / 'strip.png')).shape == (3 * 64, 56 + 12 * 64, 3)
    with pytest.raises(SystemExit, match=r"view '5'; the views of this subject are \['000', '090'"):
        run_tool(monkeypatch, 'visualize.py', 'strip', config, 'x.png', '--view', '5')


def test_a_tree_of_test_subjects_is_enough(tmp_path, monkeypatch):
    """tools/test.py needs no training set, and writes its figures."""
    write_tree(tmp_path, ['001', '002'], [*(f'nm-{i:02d}' for i in range(1, 7)), 'bg-01', 'bg-02',
                                          'cl-01', 'cl-02'], ['000', '090'], frames=2, train=[])
    data = dataset_cfg(tmp_path, pipeline=PIPELINE, _delete_=True)
    config = tmp_path / 'config.py'
    config.write_text(Config({
        '_base_': [str(ROOT / 'configs/gait/gaitbase/gaitbase-small_demo-64x44.py')],
        'train_dataloader': {'dataset': {**data, 'split': 'train'}},
        'test_dataloader': {'num_workers': 0, 'persistent_workers': False, 'dataset': {
            **data, 'split': 'test', 'test_mode': True}}}).pretty_text)
    model = MODELS.build(Config.fromfile(config).model)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'model.pth')
    out = tmp_path / 'figures.json'
    monkeypatch.setattr(sys, 'argv', ['test.py', str(config), str(tmp_path / 'model.pth'),
                                      '--work-dir', str(tmp_path / 'work'), '--out', str(out)])
    runpy.run_path(str(ROOT / 'tools' / 'test.py'), run_name='__main__')
    names = {'gait/NM', 'gait/BG', 'gait/CL', 'gait/mean'}
    assert set(json.loads(out.read_text())) == names
    chart, = (tmp_path / 'work').rglob('rank1_by_view.json')
    assert set(json.loads(chart.read_text())) == {'NM', 'BG', 'CL'}
    out.unlink()
    monkeypatch.setattr('razor_ext.gait.hooks.view_chart', lambda figures: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # a picture that fails loses no figure
        runpy.run_path(str(ROOT / 'tools' / 'test.py'), run_name='__main__')
    assert set(json.loads(out.read_text())) == names
