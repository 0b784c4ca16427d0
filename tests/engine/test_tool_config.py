"""What the tools take as a config and its options, and what they refuse with one line."""
from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

import razor_ext  # noqa: F401
from razor_ext.engine import load_tool_config

RTMPOSE = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'


@pytest.mark.smoke
def test_a_config_of_an_installed_package_with_an_option() -> None:
    cfg = load_tool_config(RTMPOSE, {'model.backbone.widen_factor': 0.25})
    assert cfg.model.type == 'TopdownPoseEstimator'
    assert cfg.model.backbone.widen_factor == 0.25
    assert cfg.default_scope == 'mmpose'


def test_a_config_that_a_run_has_dumped(tmp_path: Path) -> None:
    """It holds names like `data_root` that nothing reads any more."""
    path = tmp_path / 'dumped.py'
    load_tool_config(RTMPOSE).dump(path)
    cfg = load_tool_config(str(path), {'model.backbone.widen_factor': 0.25})
    assert cfg.model.backbone.widen_factor == 0.25


@pytest.mark.parametrize('path', [
    'nowhere.py', 'mmpose::nowhere.py', 'nopackage::nowhere.py'])
def test_a_config_that_does_not_exist(path: str) -> None:
    with pytest.raises(SystemExit, match=f"^config '{path}' does not exist") as caught:
        load_tool_config(path)
    assert '\n' not in str(caught.value)


def test_an_unknown_option_is_not_merged(tmp_path: Path) -> None:
    path = tmp_path / 'config.py'
    Config(dict(model=dict(type='x'))).dump(path)
    with pytest.raises(SystemExit, match=r"--cfg-options modle\.type=.*did you mean 'model'"):
        load_tool_config(str(path), {'modle.type': 'y'})
