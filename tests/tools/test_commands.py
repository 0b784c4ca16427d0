"""The command-line tools as a user calls them, on the tiny RTMPose."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from tiny_pose import group_fisher, prune_hooks

ROOT = Path(__file__).parents[2]
HELPERS = ROOT / 'tests' / 'helpers'


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


def _run(*command: object, fails: bool = False) -> str:
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable,
                       PYTHONPATH=str(HELPERS))
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert (done.returncode != 0) == fails, done.stdout[-4000:]
    return done.stdout


def test_train_and_resume(config: Path, tmp_path: Path) -> None:
    """A run that is stopped after one epoch goes on with --resume and meets its target."""
    tool = (sys.executable, 'tools/train.py', config, '--work-dir', tmp_path)
    first = _run(*tool, '--cfg-options', 'train_cfg.max_epochs=1', 'model.prune_end=0.9',
                 'model.target_flop_ratio=0.9', 'custom_hooks.1.save_ckpt_thr=[0.9]')
    assert 'flops left, checkpoint saved' in first
    second = _run(*tool, '--resume')
    assert 'resumed epoch: 1' in second
    assert (tmp_path / 'flops_0.60.pth').is_file() and (tmp_path / 'flops_0.90.pth').is_file()


def test_get_channel_units(config: Path, tmp_path: Path) -> None:
    _run(sys.executable, 'tools/get_channel_units.py', config, '--choice',
         '-o', tmp_path / 'units.json')
    units = json.loads((tmp_path / 'units.json').read_text())
    assert units['backbone.stem.0.conv_(0, 4)_4'] == 4


@pytest.mark.parametrize('arguments, message', [
    (('tools/train.py', 'nowhere.py'), "config 'nowhere.py' does not exist"),
    (('tools/train.py', 'CONFIG', '--cfg-options', 'modle.interval=3'),
     "nothing reads the key 'modle'; did you mean 'model'?"),
    (('tools/test.py', 'CONFIG', 'nowhere.pth'), "checkpoint 'nowhere.pth' does not exist"),
], ids=['config', 'option', 'checkpoint'])
def test_what_does_not_fit_is_named(config: Path, arguments: tuple, message: str) -> None:
    command = [config if part == 'CONFIG' else part for part in arguments]
    assert message in _run(sys.executable, *command, fails=True)


@pytest.mark.parametrize('launcher', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_launchers_say_how_they_are_used(launcher: str) -> None:
    assert 'usage:' in _run('bash', f'tools/{launcher}.sh', fails=True)
