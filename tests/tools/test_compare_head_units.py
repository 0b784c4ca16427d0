"""`tools/analysis/compare_head_units.py` runs to its table."""
from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS
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


def test_it_runs_to_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                              capsys: pytest.CaptureFixture) -> None:
    monkeypatch.syspath_prepend(ROOT / 'tools' / 'analysis')
    tool = importlib.import_module('compare_head_units')
    memoize_analysis(monkeypatch.setattr)
    config = tmp_path / 'small.py'
    config.write_text(SMALL)
    torch.save({'state_dict': MODELS.build(Config.fromfile(config).model).state_dict()},
               tmp_path / 'dense.pth')
    monkeypatch.setattr(sys, 'argv', [
        'compare_head_units', str(config), str(tmp_path / 'dense.pth'), '--seeds', '1',
        '--prune-epochs', '1', '--finetune-epochs', '1', '--num-images', '80',
        '--ratio', '0.9', '--work-dir', str(tmp_path / 'runs')])
    tool.main()
    printed = capsys.readouterr().out
    assert 'AP of the whole model less the backbone: mean' in printed
    rows = json.loads((tmp_path / 'runs' / 'figures.json').read_text())
    assert {name: len(results) for name, results in rows.items()} == {
        'whole model': 1, 'backbone': 1}
    assert all(results[0]['MACs'] <= 0.9 for results in rows.values())
