"""Other programs of tools/analysis take the shipped configs."""
from __future__ import annotations

import runpy
import sys

import pytest
from mmengine.config import Config

from razor_ext.deploy.errors import DeployError

from .analysis_scene import ROOT, load_tool

GAITBASE = 'gaitbase-small_demo-64x44.py'


@pytest.mark.parametrize('step', ['geta_prune', 'group_fisher_prune', 'l1_prune'])
def test_latency_table_takes_any_pruning_config(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    tool = load_tool(monkeypatch, 'latency_table')
    cfg = Config.fromfile(ROOT / 'configs/pruning/gaitbase' / f'{step}_{GAITBASE}')
    cfg.model.target = dict(kind='latency', ratio=.5, table='to be made.json')
    model = tool.build_algorithm(cfg)
    assert model.mutator.mutable_units and model.target_cfg['kind'] == 'macs'
    assert 'Pretrained' not in str(model.architecture.init_cfg)


@pytest.mark.parametrize('path', [
    f'gait/gaitbase/{GAITBASE}', f'pruning/gaitbase/geta_finetune_{GAITBASE}',
    'pruning/rtmpose/group_fisher_mmrazor_prune_rtmpose-s_8xb256-420e_coco-256x192.py'])
def test_latency_table_refuses_what_has_no_units(monkeypatch: pytest.MonkeyPatch, path: str
                                                 ) -> None:
    tool = load_tool(monkeypatch, 'latency_table')
    with pytest.raises(DeployError, match='give the config of a pruning run'):
        tool.build_algorithm(Config.fromfile(ROOT / 'configs' / path))


def test_graph_summary_takes_the_familys_input(monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, 'argv', ['graph_summary', str(ROOT / 'configs/gait/gaitbase' /
                                                           GAITBASE)])
    runpy.run_path(str(ROOT / 'tools/analysis/graph_summary.py'), run_name='__main__')
    assert 'masked and sliced outputs differ by' in capsys.readouterr().out


@pytest.mark.parametrize('name', sorted(
    path.stem for path in (ROOT / 'tools' / 'analysis').glob('*.py')))
def test_programs_import(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    tool = load_tool(monkeypatch, name)
    if not hasattr(tool, 'parse_args'):
        return
    monkeypatch.setattr(sys, 'argv', [name, '--help'])
    with pytest.raises(SystemExit) as ended:
        tool.parse_args()
    assert ended.value.code == 0
