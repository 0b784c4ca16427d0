"""Config keys that nobody reads are refused."""
from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

import razor_ext  # noqa: F401
from razor_ext.engine import UnreadKeyError, check_config

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path.relative_to(ROOT) for path in (ROOT / 'configs').rglob('*.py')
                 if '_base_' not in path.parts and 'deploy' not in path.parts)


def _config(tmp_path: Path, text: str) -> Config:
    path = tmp_path / 'config.py'
    path.write_text(text)
    return Config.fromfile(path)


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_every_config_of_the_project_is_read_whole(path: Path) -> None:
    check_config(Config.fromfile(ROOT / path))


@pytest.mark.smoke
def test_a_misspelt_section_is_named_with_the_right_one(tmp_path: Path) -> None:
    cfg = _config(tmp_path, "model = dict(type='x')\noptim_wraper = dict(type='OptimWrapper')\n")
    with pytest.raises(UnreadKeyError, match=r"'optim_wraper'; did you mean 'optim_wrapper'"):
        check_config(cfg)


def test_a_helper_variable_is_read_by_the_config_itself(tmp_path: Path) -> None:
    check_config(_config(tmp_path, "rate = 0.1\noptim_wrapper = dict(optimizer=dict(lr=rate))\n"))


def test_the_codec_is_read_by_a_deployment(tmp_path: Path) -> None:
    check_config(_config(tmp_path, 'codec = dict(input_size=(64, 64))\n'))


def test_a_variable_read_only_by_a_child_counts(tmp_path: Path) -> None:
    (tmp_path / 'base.py').write_text('base_lr = 0.1\n')
    check_config(_config(tmp_path, "_base_ = './base.py'\n"
                                   'optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr))\n'))
    with pytest.raises(UnreadKeyError, match='base_lr'):
        check_config(_config(tmp_path, "_base_ = './base.py'\n"))


def test_a_mention_in_the_banner_is_no_reading(tmp_path: Path) -> None:
    cfg = _config(tmp_path, '"""Fill in: target_flop_ratio (float)."""\ntarget_flop_ratio = 0.5\n')
    with pytest.raises(UnreadKeyError, match='target_flop_ratio'):
        check_config(cfg)


def test_a_template_reference_counts(tmp_path: Path) -> None:
    (tmp_path / 'base.py').write_text('size = 3\n')
    check_config(_config(tmp_path, "_base_ = './base.py'\n"
                                   "optim_wrapper = dict(accumulative_counts={{_base_.size}})\n"))


def test_options_of_the_command_line_are_checked(tmp_path: Path) -> None:
    cfg = _config(tmp_path, "model = dict(type='x')\n")
    check_config(cfg, options={'model.type': 'y', 'train_cfg.max_epochs': 3})
    with pytest.raises(UnreadKeyError, match=r"--cfg-options modle\.type.*'model'"):
        check_config(cfg, options={'modle.type': 'y'})


SPLICED = '''
rate = 0.25
geta = dict(target=dict(kind='macs', ratio=0.5), divisor=8)
model = dict(geta, type='x', architecture=dict(type='y', head=dict(in_channels=8)))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=rate), lr_ratio=0.5)
param_scheduler = [dict(type='LinearLR', end=20), dict(type='Cosine', eta_min=rate)]
'''


@pytest.mark.parametrize('option, message', [
    ('geta.target.ratio', r"used 'geta' when it was loaded.*; set model\.target\.ratio instead"),
    ('geta.divisor', r'set model\.divisor instead'),
    ('geta.target', r'set model\.target instead'),
    ('rate', r'set optim_wrapper\.optimizer\.lr or param_scheduler\.1\.eta_min instead'),
    ('geta.stages', 'set what the config makes of it instead, or change the file'),
    ('model.taget.ratio', r"no 'model\.taget'; did you mean 'model\.target\.ratio'\?"),
    ('model.architecture.haed.in_channels', r"did you mean 'model\.architecture\.head\.in_chann"),
    ('optim_wrapper.optimiser.lr', r"did you mean 'optim_wrapper\.optimizer\.lr'\?"),
    ('geto.divisor', r"nothing reads the key 'geto'; did you mean 'geta'\?"),
])
def test_an_option_that_would_change_nothing(tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises(UnreadKeyError, match=message):
        check_config(_config(tmp_path, SPLICED), options={option: 1})


@pytest.mark.parametrize('option', [
    'model.target.ratio', 'model.target.table', 'model.init_cfg.type', 'train_dataloader.x.y',
    'param_scheduler.1.eta_min', 'param_scheduler.1.T_max', 'optim_wrapper.clip_grad.max_norm',
    'model.architecture.init_cfg.checkpoint', 'optim_wrapper.optimizer.momentum', 'load_from',
    'model.architecture.head.in_channels'])
def test_new_leaves_and_new_sections_are_allowed(tmp_path: Path, option: str) -> None:
    check_config(_config(tmp_path, SPLICED), options={option: 1})


def test_the_files_of_a_linked_environment_are_not_the_users(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    monkeypatch.setattr('site.getsitepackages', lambda: [str(tmp_path / 'link')])
    check_config(_config(tmp_path / 'real', "tta_model = dict(type='x')\n"))
    with pytest.raises(UnreadKeyError, match='tta_model'):
        check_config(_config(tmp_path, "tta_model = dict(type='x')\n"))
