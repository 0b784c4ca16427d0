"""`tools/analysis/compare_post_training.py` and `compare_runs.py` run to their tables."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from razor_ext.engine import write_json
from tests.report.test_page import document

from .analysis_scene import load_tool, run_comparison, write_dense


@pytest.mark.slow
def test_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = run_comparison(
        monkeypatch, 'compare_post_training', write_dense(tmp_path), '--seeds', '0', '--images',
        '16', '--ratios', '0.8', '--trained', '1', '--lr', '1e-4', '--divisor', '4')
    assert set(rows) == {'dense', 'dense, static int8', '0.8: no training', '0.8: one-shot L1',
                         '0.8: one-shot L1, int8', '0.8: GETA trained'}
    assert rows['dense'][0]['MACs'] == 1
    assert .7 < rows['0.8: one-shot L1'][0]['MACs'] <= .8
    for name in ('0.8: no training', '0.8: one-shot L1, int8'):
        row, = rows[name]
        assert .7 < row['MACs'] <= .8
        assert row['relative BOPs'] == pytest.approx(row['MACs'] / 16)


def test_finished_runs_are_laid_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture) -> None:
    tool = load_tool(monkeypatch, 'compare_runs')
    for name in ('one', 'other'):
        write_json(tmp_path / name / 'report.json', document())
    arguments = ['compare_runs', str(tmp_path / 'one'), str(tmp_path / 'other')]
    monkeypatch.setattr(sys, 'argv', [*arguments, '--out', str(tmp_path / 'out')])
    tool.main()
    assert 'other' in capsys.readouterr().out
    assert (tmp_path / 'out' / 'runs.html').is_file()
    monkeypatch.setattr(sys, 'argv', [*arguments, str(tmp_path / 'none')])
    with pytest.raises(SystemExit, match=r'none.report\.json does not exist'):
        tool.main()
