"""`tools/analysis/compare_methods.py` runs to its table."""
from __future__ import annotations

from pathlib import Path

import pytest

from .analysis_scene import SMALL, load_tool, run_comparison, write_dense

#: No unit narrower than the divisor, which MMRazor's way refuses.
WIDER = SMALL.replace('widen_factor=.125', 'widen_factor=.25').replace('=64', '=128')


def test_a_rival_and_its_integers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture) -> None:
    rows = run_comparison(
        monkeypatch, 'compare_methods', write_dense(tmp_path), '--seeds', '3', '--epochs', '1',
        '--num-images', '8', '--ratio', '0.8', '--methods', 'uniform L1')
    assert {name: len(results) for name, results in rows.items()} == {
        'uniform L1': 1, 'uniform L1, int8 after': 1}
    after_float, after_int8 = (results[0] for results in rows.values())
    assert .79 < after_float['MACs'] == after_int8['MACs'] <= .8
    assert after_float['relative BOPs'] == after_float['MACs']
    assert after_int8['relative BOPs'] == pytest.approx(after_int8['MACs'] / 16)
    line = capsys.readouterr().out.splitlines()[-2]
    assert line.split('|')[1].strip() == 'uniform L1, int8 after (1)'


@pytest.mark.slow
@pytest.mark.parametrize('methods', [
    ['dense', 'dense, trained on', 'GroupFisher', 'GroupFisher (MMRazor)'],
    ['GETA 8 bit', 'HESSO'], ['Taylor', 'random', 'Torch-Pruning']])
def test_every_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, methods: list[str]) -> None:
    if 'Torch-Pruning' in methods:
        pytest.importorskip('torch_pruning')
    rows = run_comparison(
        monkeypatch, 'compare_methods', write_dense(tmp_path, WIDER), '--seeds', '0', '--epochs',
        '2', '--num-images', '80', '--ratio', '0.8', '--methods', *methods)
    known = load_tool(monkeypatch, 'compare_methods').METHODS
    assert set(rows) == {title for name in methods for title in (
        [name, f'{name}, int8 after'] if known[name].int8 else [name])}
    for name, (row, ) in rows.items():
        if name.startswith('dense'):
            assert row['MACs'] == 1
        else:
            assert (.7 if name.startswith('Torch') else .78) < row['MACs'] <= .8
