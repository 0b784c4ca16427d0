"""tools/extract_compressed.py: what it writes, prints and refuses."""
from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from tiny_geta import SHAPE
from tiny_pose import group_fisher, tiny_rtmpose

from razor_ext.compat import safe_load
from razor_ext.structure import load_compressed, rebuild

ROOT = Path(__file__).parents[2]


def extract(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', ['extract_compressed', *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools' / 'extract_compressed.py'), run_name='__main__')


def write_config(path: Path, model: dict) -> Path:
    Config(dict(default_scope='mmpose', model=model)).dump(path)
    return path


def figures(printed: str) -> dict[str, list[float]]:
    rows = [line.strip('|').split('|') for line in printed.splitlines() if line.startswith('|')]
    return {row[0].strip(): [float(cell.strip(' %')) for cell in row[1:]] for row in rows[1:]}


def test_a_joint_run_is_extracted_as_it_was_written(
        joint: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture) -> None:
    run_dir = Path(joint.work_dir)
    work_dir = load_compressed(run_dir).path
    path = write_config(tmp_path / 'prune.py', joint.cfg.model.to_dict())
    extract(monkeypatch, path, run_dir / 'epoch_5.pth', '--out', tmp_path / 'out')
    for name in ('fix_subnet.json', 'quant.json'):
        assert (tmp_path / 'out' / name).read_text() == (work_dir / name).read_text()
    states = [safe_load(folder / 'compressed.pth')['state_dict']
              for folder in (work_dir, tmp_path / 'out')]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    table = figures(capsys.readouterr().out)
    graph = joint.model.mutator.graph
    counts = json.loads((work_dir / 'fix_subnet.json').read_text())
    dense, left, reduction = table['MACs (M)']
    assert dense == pytest.approx(graph.total_macs / 1e6, abs=1e-3)
    assert left == pytest.approx(graph.macs(counts) / 1e6, abs=1e-3)
    assert reduction == pytest.approx(100 * (1 - left / dense), abs=0.05) and reduction >= 50
    assert table['BOPs (G)'][2] > 90 and table['weights (MB)'][2] > table['parameters (M)'][2]

    with pytest.raises(SystemExit, match='holds no pruned channel: nothing was pruned yet'):
        extract(monkeypatch, path, run_dir / 'epoch_1.pth', '--out', tmp_path / 'early')
    with pytest.raises(SystemExit, match=r'macs are left, .* more than the target ratio'):
        extract(monkeypatch, path, run_dir / 'epoch_3.pth', '--out', tmp_path / 'early')
    assert not (tmp_path / 'early').exists()

    # The same folder as a run's: it is all that a finetune config names.
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'compressed.pth', 'config.py', 'fix_subnet.json', 'quant.json', 'units.json']
    with monkeypatch.context() as patch:
        patch.setattr(rebuild, 'analyze', None)
        from_folder = MODELS.build(dict(type='mmrazor.CompressedModel',
                                        compressed=str(tmp_path / 'out')))
        assert all(torch.equal(value, states[0][key])
                   for key, value in from_folder.state_dict().items())
        short = write_config(tmp_path / 'short.py', dict(
            type='mmrazor.CompressedModel', compressed=str(tmp_path / 'out')))
        extract(monkeypatch, short, tmp_path / 'out' / 'compressed.pth', '--out',
                tmp_path / 'short')
    for path in (tmp_path / 'out').glob('*.json'):
        assert (tmp_path / 'short' / path.name).read_text() == path.read_text()

    finetune = write_config(tmp_path / 'finetune.py', dict(
        type='mmrazor.CompressedModel', architecture=tiny_rtmpose(), demo_input=SHAPE,
        fix_subnet=str(tmp_path / 'out' / 'fix_subnet.json'),
        quant=str(tmp_path / 'out' / 'quant.json'), checkpoint='nowhere.pth'))
    extract(monkeypatch, finetune, tmp_path / 'out' / 'compressed.pth', '--out', tmp_path / 'again')
    assert (tmp_path / 'again' / 'quant.json').read_text() == (work_dir / 'quant.json').read_text()


def test_group_fisher_is_extracted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture) -> None:
    from mmengine.registry import init_default_scope
    from mmrazor.registry import MODELS
    init_default_scope('mmpose')
    algorithm = MODELS.build(group_fisher())
    algorithm.init_weights()
    path = write_config(tmp_path / 'prune.py', group_fisher())
    torch.save({'state_dict': algorithm.state_dict()}, tmp_path / 'whole.pth')
    with pytest.raises(RuntimeError, match='nothing was pruned'):
        from razor_ext.pruning import extract as extract_model
        extract_model(Config.fromfile(path), str(tmp_path / 'whole.pth'))
    for unit in algorithm.mutator.mutable_units:
        unit.mutable_channel.mask[unit.num_channels // 2:] = 0
    torch.save({'state_dict': algorithm.state_dict()}, tmp_path / 'pruned.pth')
    extract(monkeypatch, path, tmp_path / 'pruned.pth', '--out', tmp_path / 'out')
    assert json.loads((tmp_path / 'out' / 'fix_subnet.json').read_text()) == \
        algorithm.mutator.counts()
    assert not (tmp_path / 'out' / 'quant.json').exists()
    assert figures(capsys.readouterr().out)['MACs (M)'][2] > 50


@pytest.mark.parametrize('model, message', [
    (tiny_rtmpose(), 'a compressed model is extracted from the config of a pruning algorithm')])
def test_other_configs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: dict,
                                   message: str) -> None:
    path = write_config(tmp_path / 'dense.py', model)
    with pytest.raises(SystemExit, match=message):
        extract(monkeypatch, path, tmp_path / 'any.pth', '--out', tmp_path / 'out')
