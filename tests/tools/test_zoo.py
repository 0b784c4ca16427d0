"""The programs that run over the zoo, on a few of its configs."""
from __future__ import annotations

import json
import sys

import pytest

from .analysis_scene import load_tool
from .commands import run

CONFIG = 'body_3d_keypoint/image_pose_lift/h36m/image-pose-lift_tcn_8xb64-200e_h36m.py'
TABLE = 'tools/analysis/zoo_table.py'


def test_a_row_of_the_table_and_going_on(tmp_path):
    rows, docs = tmp_path / 'zoo.json', tmp_path / 'zoo.md'
    docs.write_text('# Zoo\n<!-- begin: table of the zoo -->\nold\n<!-- end: table of the zoo -->\n'
                    'after\n', encoding='utf-8')
    command = (sys.executable, TABLE, '--packages', 'mmpose', '--every', '--match', CONFIG,
               '--out', rows, '--docs', docs)
    printed = run(*command)
    assert '1/1' in printed and '1 families: 1 analysed and proved' in printed
    row, = json.loads(rows.read_text()).values()
    assert row['reachable'] > 0.95 and row['error'] < 1e-9 and row['input'] == [1, 34, 1]
    text = docs.read_text()
    assert '| image-pose-lift_tcn_8xb64-200e_h36m | 1x34x1 |' in text
    assert 'old' not in text and text.endswith('after\n')
    rows.write_text(json.dumps({key: {**value, 'units': -7} for key, value in
                                json.loads(rows.read_text()).items()}))
    assert '1/1' not in run(*command)
    assert '| -7 |' in docs.read_text()


def test_families_and_reasons(monkeypatch):
    zoo, table = load_tool(monkeypatch, 'zoo'), load_tool(monkeypatch, 'zoo_table')
    model = dict(type='A', backbone=dict(type='mmpretrain.B'), head=[dict(type='C')] * 2)
    assert zoo.family_of(model) == 'A: B + C'
    config = dict(a=[dict(pretrained='x', init_cfg=1, depth=50)], init_cfg=dict(checkpoint='y'))
    assert table.without_weights(config) == dict(a=[dict(depth=50)])
    row = dict(family='DWPoseDistiller: -', failed='TypeError: x')
    assert 'compress the student' in table.reason_of(row)
    with pytest.raises(SystemExit, match='has no config'):
        zoo.config_names('mmpose', match='no such config')


def test_prune_and_finetune_configs_build_on_the_zoo():
    printed = run(sys.executable, 'tools/analysis/zoo_configs.py', '--match', 'simcc_res50')
    assert '3 of 3 configs of mmpose build' in printed


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_prune_and_finetune_configs_build_on_all_of_mmpose():
    printed = run(sys.executable, 'tools/analysis/zoo_configs.py', fails=True)
    assert 'edpose_res50_8xb2-50e_coco-800x1333.py: prune config: ' in printed
    assert '405 of 408 configs of mmpose build' in printed
