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
