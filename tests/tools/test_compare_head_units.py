"""`tools/analysis/compare_head_units.py` runs to its table."""
from __future__ import annotations

from pathlib import Path

import pytest

from .analysis_scene import run_comparison, write_dense


def test_it_runs_to_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                              capsys: pytest.CaptureFixture) -> None:
    rows = run_comparison(
        monkeypatch, 'compare_head_units', write_dense(tmp_path), '--seeds', '1',
        '--prune-epochs', '1', '--finetune-epochs', '1', '--num-images', '16', '--ratio', '0.9')
    assert 'AP of the whole model less the backbone: mean' in capsys.readouterr().out
    assert {name: len(results) for name, results in rows.items()} == {
        'whole model': 1, 'backbone': 1}
    assert all(results[0]['MACs'] <= 0.9 for results in rows.values())
