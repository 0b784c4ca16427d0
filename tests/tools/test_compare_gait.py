"""`tools/analysis/compare_gait.py` runs to its table."""
from __future__ import annotations

from pathlib import Path

import pytest

from ..gait.gait_compression import write_silhouettes
from ..gait.gait_trees import PIPELINE
from .analysis_scene import ROOT, load_tool, run_comparison, write_dense


@pytest.fixture(scope='module')
def dense(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Config and checkpoint of a small GaitBase over silhouettes of noise."""
    folder = tmp_path_factory.mktemp('gait')
    write_silhouettes(folder / 'data')
    data = (f"dataset=dict(_delete_=True, type='CASIABDataset', data_root={str(folder / 'data')!r},"
            "ann_file='partition.json', data_prefix=dict(path='silhouettes'), ")
    return write_dense(folder, f"""
_base_ = {str(ROOT / 'configs/gait/gaitbase/gaitbase-small_demo-64x44.py')!r}
model = dict(backbone=dict(channels=(4, 8, 8, 12)), head=dict(in_channels=12, embed_channels=8))
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, batch_sampler=dict(subjects=2),
    {data} split='train', pipeline={PIPELINE}))
test_dataloader = dict(
    num_workers=0, persistent_workers=False,
    {data} split='test', test_mode=True, pipeline=_base_.test_pipeline))
""")


def test_rivals_keep_what_geta_left(dense: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture) -> None:
    methods = ['GETA 8 bit', 'Taylor', 'random', 'uniform L1', 'dense']
    rows = run_comparison(
        monkeypatch, 'compare_gait', dense, '--seeds', '0', '--iters', '40', '--divisor', '2',
        '--sparsity', '.25', '--methods', *methods)
    assert list(rows) == methods
    left = rows['GETA 8 bit'][0]['MACs']
    for name in ('Taylor', 'random', 'uniform L1'):
        row = rows[name][0]
        assert .8 * left < row['MACs'] < 1.1 * left
        assert row['relative BOPs'] == row['MACs']
    assert rows['GETA 8 bit'][0]['relative BOPs'] < left / 15
    dense_row = rows['dense'][0]
    assert (dense_row['MACs'], dense_row['params']) == (1, 1)
    assert 'CL min' in capsys.readouterr().out


def test_a_sparsity_needs_geta_first(dense: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        run_comparison(monkeypatch, 'compare_gait', dense, '--sparsity', '.5', '--methods',
                       'Taylor')
    assert "not 'Taylor'" in capsys.readouterr().err


def test_mmrazors_way_refuses_another_target(dense: tuple[Path, Path], tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    tool = load_tool(monkeypatch, 'benchmark')
    bench = tool.Benchmark(*map(str, dense), tmp_path, 4, .1, dict(kind='sparsity', ratio=.5),
                           {}, options={'model.tensor_output': 'logits'})
    with pytest.raises(ValueError, match=r"share of the MACs, not .*'sparsity'"):
        bench.compress(load_tool(monkeypatch, 'recipes').Method('group_fisher_mmrazor'))
    with pytest.raises(ValueError, match='length=0'):
        tool.Benchmark(*map(str, dense), tmp_path, 0, .1, {}, {})
