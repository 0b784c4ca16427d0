"""Programs of tools/analysis in this process, on a small model and a few people."""
from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS
from tiny_geta import memoize_analysis

ROOT = Path(__file__).parents[2]
#: The demonstration model at a few people and an eighth of its width.
SMALL = f"""
_base_ = {str(ROOT / 'configs' / 'pose' / 'rtmpose-demo_synthetic-128x96.py')!r}
model = dict(backbone=dict(widen_factor=.125), head=dict(
    in_channels=64, gau_cfg=dict(hidden_dims=32, s=16)))
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
test_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False,
                       dataset=dict(num_images=4))
"""


def load_tool(patch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """Import a program of tools/analysis; every structure is analysed once."""
    patch.syspath_prepend(ROOT / 'tools' / 'analysis')
    memoize_analysis(patch.setattr)
    return importlib.import_module(name)


def write_dense(folder: Path, text: str = SMALL) -> tuple[Path, Path]:
    """Write the config of a dense model, and a checkpoint of random weights."""
    config, checkpoint = folder / 'dense.py', folder / 'dense.pth'
    config.write_text(text)
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build({**cfg.model, '_scope_': cfg.default_scope})
    torch.save({'state_dict': model.state_dict()}, checkpoint)
    return config, checkpoint


def run_comparison(patch: pytest.MonkeyPatch, name: str, dense: tuple[Path, Path], *options: str
                   ) -> dict[str, list[dict[str, float]]]:
    """Run a comparison; return the figures that it has written.

    Args:
        patch: of the test.
        name: of the program.
        dense: config and checkpoint.
        options: of the command line.
    """
    tool, folder = load_tool(patch, name), dense[0].parent / 'runs'
    patch.setattr(sys, 'argv', [name, *map(str, dense), '--work-dir', str(folder), *options])
    tool.main()
    return json.loads((folder / 'figures.json').read_text())
