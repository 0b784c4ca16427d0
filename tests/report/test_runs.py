"""Several runs side by side."""
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from razor_ext.report.charts import pareto_front
from razor_ext.report.runs import run_rows, write_runs

from .test_page import document


def runs() -> dict:
    return {'macs=0.7': document(), '<macs=0.5>': document()}


def test_each_run_stands_with_the_dense_model_before_them(tmp_path: Path) -> None:
    documents = runs()
    documents['<macs=0.5>']['stages'][1].update(macs=1e6, bytes=5e5)
    table, page = write_runs(documents, tmp_path)
    rows = {line.split('|')[1].strip(): [cell.strip() for cell in line.split('|')[2:-1]]
            for line in table.splitlines() if '|' in line}
    assert rows[''] == ['coco/AP', 'of its file', 'MACs (M)', 'parameters (K)', 'file (MB)',
                        'latency (ms)']
    assert rows['dense'] == ['0.5241', '', '5.40', '540.44', '2.16', '1.50']
    assert rows['<macs=0.5>'] == ['0.5178', '0.5171', '1.00', '250.05', '0.50', '1.50']
    text = page.read_text(encoding='utf-8')
    assert text.count('<svg') == 4
    assert '&lt;macs=0.5&gt;' in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert json.loads((tmp_path / 'runs.json').read_text())[2]['name'] == '<macs=0.5>'


def test_runs_that_were_not_timed_have_no_chart_of_it(tmp_path: Path) -> None:
    documents = runs()
    del documents['macs=0.7']['stages'][1]['latency']
    _, page = write_runs(documents, tmp_path, 'coco/AR')
    assert page.read_text(encoding='utf-8').count('<svg') == 3


def test_runs_without_a_metric_in_common_are_refused() -> None:
    documents = runs()
    documents['macs=0.7']['stages'][1]['metrics'] = {'other': 1.0}
    with pytest.raises(ValueError, match='no metric'):
        run_rows(documents)
    with pytest.raises(ValueError, match='no metric'):
        run_rows(runs(), 'AUC')
    with pytest.raises(ValueError, match='no run'):
        run_rows({})


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8))
def test_the_front_is_what_none_beats(points: list[tuple[int, int]]) -> None:
    front = [points[number] for number in pareto_front(points)]
    beaten = [point for point in points if any(
        x <= point[0] and y >= point[1] and (x, y) != point for x, y in points)]
    assert set(front) == set(points) - set(beaten)
