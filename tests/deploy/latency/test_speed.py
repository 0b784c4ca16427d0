"""Comparing the speed of whole models."""
from __future__ import annotations

import importlib.util

import pytest
import torch
from mmengine.config import Config
from torch import nn

from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.latency.divisor_sweep import round_structure
from razor_ext.deploy.latency.random_export import export_random
from razor_ext.deploy.latency.speed import compare_speed, find_structure
from razor_ext.engine.families import sample_tasks
from razor_ext.graph import analyze

from ..deploy_scene import ROOT, pruned_config


@pytest.fixture(scope='module')
def graph():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 24, 3), nn.ReLU(),
                          nn.Conv2d(24, 4, 1)).eval()
    return analyze(model, torch.randn(1, 3, 8, 8))


@pytest.mark.parametrize('share, divisor', [(0.5, 1), (0.5, 8), (0.8, 4)])
def test_structure_is_within_the_share(graph, share, divisor):
    structure = find_structure(graph, share, divisor)
    widths = {unit.name: unit.num_channels for unit in graph.units}
    assert all(min(divisor, widths[name]) <= count <= widths[name]
               for name, count in structure.items())
    rounded = graph.macs(round_structure(structure, divisor)) / graph.total_macs
    assert share * 0.7 < rounded <= share
    assert find_structure(graph, share, divisor) == structure
    assert divisor > 1 or find_structure(graph, share, divisor, seed=1) != structure


def test_structures_that_cannot_be(graph):
    with pytest.raises(DeployError, match=r'in \(0, 1\), got 1\.5'):
        find_structure(graph, 1.5, 1)
    with pytest.raises(DeployError, match='1% of the MACs cannot be reached with divisor 8'):
        find_structure(graph, 0.01, 8)


def test_configs_that_cannot_be_compared(deploy_cfg, tmp_path):
    with pytest.raises(DeployError, match='GroupFisherDeploySubModel'):
        compare_speed(deploy_cfg, pruned_config(), tmp_path)
    other = Config(dict(codebase_config=dict(task='Segmentation')))
    known = ', '.join(sample_tasks())
    with pytest.raises(DeployError, match=rf"'Segmentation', only for {known}"):
        export_random(other, pruned_config(), tmp_path, 'a')


@pytest.mark.slow
def test_dense_pruned_and_padded_side_by_side(deploy_cfg, tmp_path, capsys):
    config = pruned_config()
    config.model = dict(_scope_='mmrazor', type='CompressedModel',
                        architecture=config.model.architecture, fix_subnet={})
    figures = compare_speed(deploy_cfg, config, tmp_path, divisor=4, rounds=3,
                            beside={'again': pruned_config()})
    rows = figures['files']
    assert set(rows) == {f'{name} {kind}' for name in ('dense', 'native', 'again')
                         for kind in ('fp32', 'int8')} | {'padded fp32'}
    assert rows['native fp32']['macs'] <= 0.52 * rows['dense fp32']['macs']
    assert rows['padded fp32']['macs'] > rows['native fp32']['macs']
    assert rows['native int8']['bytes'] < rows['native fp32']['bytes'] / 2
    assert set(rows['native int8']['faster_than']) == set(rows) - {'native int8'}
    spec = importlib.util.spec_from_file_location('deploy_latency',
                                                  ROOT / 'tools/analysis/deploy_latency.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.print_table(rows)
    assert 'faster than dense fp32' in capsys.readouterr().out
