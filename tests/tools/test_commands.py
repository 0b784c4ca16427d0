"""The command-line tools as a user calls them, on the tiny RTMPose."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS
from tiny_pose import SIZE, group_fisher, prune_hooks, tiny_rtmpose

import razor_ext  # noqa: F401

from .commands import run


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('tools') / 'prune.py'
    Config(dict(
        custom_imports=dict(imports=['razor_ext', 'tiny_pose'], allow_failed_imports=False),
        default_scope='mmpose',
        model=group_fisher(target_flop_ratio=0.6, prune_end=0.9),
        train_dataloader=dict(batch_size=2, num_workers=0, dataset=dict(type='DotPeople'),
                              sampler=dict(type='DefaultSampler', shuffle=True, seed=0)),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)),
        custom_hooks=list(prune_hooks(0.6)))).dump(path)
    return path


def test_train_and_resume(config: Path, tmp_path: Path) -> None:
    """A run that is stopped after one epoch goes on with --resume and meets its target."""
    tool = (sys.executable, 'tools/train.py', config, '--work-dir', tmp_path)
    first = run(*tool, '--cfg-options', 'train_cfg.max_epochs=1', 'model.prune_end=0.9',
                'model.target_flop_ratio=0.9', 'custom_hooks.1.save_ckpt_thr=[0.9]')
    assert 'flops left, checkpoint saved' in first
    second = run(*tool, '--resume')
    assert 'resumed epoch: 1' in second
    assert (tmp_path / 'flops_0.60.pth').is_file() and (tmp_path / 'flops_0.90.pth').is_file()


def test_get_channel_units(config: Path, tmp_path: Path) -> None:
    run(sys.executable, 'tools/get_channel_units.py', config, '--choice',
        '-o', tmp_path / 'units.json')
    units = json.loads((tmp_path / 'units.json').read_text())
    assert units['backbone.stem.0.conv_(0, 4)_4'] == 4


def test_get_channel_units_of_a_dense_model_are_those_of_the_graph(tmp_path: Path) -> None:
    """Divisor tables name them; MMRazor's tracer does not see those of the head."""
    from razor_ext.graph import analyze

    path, listed = tmp_path / 'dense.py', {}
    Config(dict(custom_imports=dict(imports=['razor_ext'], allow_failed_imports=False),
                default_scope='mmpose', model=tiny_rtmpose())).dump(path)
    for tracer in ('graph', 'mmrazor'):
        out = tmp_path / f'{tracer}.json'
        run(sys.executable, 'tools/get_channel_units.py', path, '--choice', '-o', out,
            *(('--tracer', tracer) if tracer == 'mmrazor' else ()))
        listed[tracer] = json.loads(out.read_text())
    graph = analyze(MODELS.build(tiny_rtmpose()), torch.zeros(1, 3, *SIZE))
    assert listed['graph'] == {unit.name: unit.num_channels for unit in graph.units}
    assert len(listed['mmrazor']) == len(listed['graph']) - 3
    message = run(sys.executable, 'tools/get_channel_units.py', path, '--shape', 1, 2, 64, 64,
                  fails=True)
    assert 'Traceback' not in message and '--shape' in message


def test_get_flops_of_a_config_of_an_installed_package() -> None:
    table = run(sys.executable, 'tools/get_flops.py',
                'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-t_8xb256-420e_coco-256x192.py')
    assert '1 x 3 x 256 x 192' in table


@pytest.mark.parametrize('arguments, message', [
    (('tools/train.py', 'nowhere.py'), "config 'nowhere.py' does not exist"),
    (('tools/train.py', 'CONFIG', '--cfg-options', 'modle.interval=3'),
     "nothing reads the key 'modle'; did you mean 'model'?"),
    (('tools/test.py', 'CONFIG', 'nowhere.pth'), "checkpoint 'nowhere.pth' does not exist"),
    (('tools/get_flops.py', 'nowhere.py'), "config 'nowhere.py' does not exist"),
    (('tools/get_flops.py', 'CONFIG', '--cfg-options', 'modle.interval=3'),
     "nothing reads the key 'modle'; did you mean 'model'?"),
    (('tools/get_channel_units.py', 'CONFIG', '--cfg-options', 'modle.interval=3'),
     "nothing reads the key 'modle'; did you mean 'model'?"),
], ids=['config', 'option', 'checkpoint', 'flops config', 'flops option', 'units option'])
def test_what_does_not_fit_is_named(config: Path, arguments: tuple, message: str) -> None:
    command = [config if part == 'CONFIG' else part for part in arguments]
    assert message in run(sys.executable, *command, fails=True)


@pytest.mark.parametrize('launcher', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_launchers_say_how_they_are_used(launcher: str) -> None:
    assert 'usage:' in run('bash', f'tools/{launcher}.sh', fails=True)
