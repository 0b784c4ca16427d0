from __future__ import annotations

import copy
import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS

from razor_ext.gait.checkpoint import (
    CheckpointError,
    from_official,
    load_official,
    official_names,
    to_official,
)

from .gait_builders import GAITGL_OUMVLP, gaitbase, gaitgl, plain
from .gait_trees import run_tool

ROOT = Path(__file__).parents[2]


def bn(name, size):
    return {f'{name}.weight': (size,), f'{name}.bias': (size,), f'{name}.running_mean': (size,),
            f'{name}.running_var': (size,), f'{name}.num_batches_tracked': ()}


def gaitbase_shapes(classes=74):
    """The published layout, written out."""
    b = 'Backbone.forward_block'
    shapes = {f'{b}.conv1.conv.weight': (64, 1, 3, 3), **bn(f'{b}.bn1', 64)}
    width = 64
    for k, c in enumerate((64, 128, 256, 512), 1):
        layer = f'{b}.layer{k}.0'
        shapes |= {f'{layer}.conv1.weight': (c, width, 3, 3), **bn(f'{layer}.bn1', c),
                   f'{layer}.conv2.weight': (c, c, 3, 3), **bn(f'{layer}.bn2', c)}
        if k > 1:
            shapes |= {f'{layer}.downsample.0.weight': (c, width, 1, 1),
                       **bn(f'{layer}.downsample.1', c)}
        width = c
    return shapes | {'FCs.fc_bin': (16, 512, 256), 'BNNecks.fc_bin': (16, 256, classes),
                     **bn('BNNecks.bn1d', 4096)}


def plain_shapes():
    shapes, width = {}, 1
    for i, c in zip((0, 2, 5, 7, 10, 12), (64, 64, 128, 128, 256, 256)):
        k = 3 if i else 5
        shapes[f'Backbone.forward_block.feature.{i}.conv.weight'] = (c, width, k, k)
        width = c
    return shapes | {'FCs.fc_bin': (31, 256, 256), 'BNNecks.fc_bin': (31, 256, 74),
                     **bn('BNNecks.bn1d', 31 * 256)}


def gaitgl_shapes(large=False, necks=False, classes=74):
    shapes = {'conv3d.0.conv3d.weight': (32, 1, 3, 3, 3), 'LTA.0.conv3d.weight': (32, 32, 3, 1, 1),
              'HPP.p': (1,)}
    if large:
        shapes['conv3d.2.conv3d.weight'] = (32, 32, 3, 3, 3)
    width = 32
    for name, c in zip(('GLConvA0', 'GLConvA1', 'GLConvB2'),
                       (64, 128, 256) if large else (64, 128, 128)):
        for index in ('.0', '.1') if large else ('',):
            for branch in ('global', 'local'):
                shapes[f'{name}{index}.{branch}_conv3d.conv3d.weight'] = (c, width, 3, 3, 3)
            width = c
    shapes['Head0.fc_bin'] = (64, width, width)
    if necks:
        return shapes | {'BNNecks.fc_bin': (64, width, classes), **bn('BNNecks.bn1d', 64 * width)}
    return shapes | {'Head1.fc_bin': (64, width, classes), **bn('Bn', width)}


CASES = {
    'gaitbase': (gaitbase(), gaitbase_shapes()), 'plain': (plain(), plain_shapes()),
    'gaitgl': (gaitgl(), gaitgl_shapes()),
    'gaitgl-oumvlp': (gaitgl(20, **GAITGL_OUMVLP), gaitgl_shapes(True, classes=20)),
    'gaitgl-bnneck': (gaitgl(head='PartBNNeckHead'), gaitgl_shapes(necks=True)),
}


def official(shapes):
    torch.manual_seed(0)
    return {k: torch.randn(s) if s else torch.tensor(7) for k, s in shapes.items()}


@pytest.mark.parametrize('name', CASES)
def test_checkpoints_there_and_back(name):
    cfg, shapes = CASES[name]
    model, state = MODELS.build(copy.deepcopy(cfg)), official(shapes)
    ours = from_official(model, state)
    assert set(ours) == set(model.state_dict())
    model.load_state_dict(ours, strict=True)
    back = to_official(model, model.state_dict())
    assert set(back) == set(state) and all(torch.equal(back[k], state[k]) for k in state)
    assert not any(back[k].data_ptr() == state[k].data_ptr() for k in state)


def test_classifier_of_other_subjects_is_left_out():
    model = MODELS.build(gaitbase(10))
    ours = from_official(model, official(gaitbase_shapes(74)))
    assert set(model.state_dict()) - set(ours) == {'head.classifier.weight'}


@pytest.mark.parametrize('change', ['missing', 'extra', 'shape'])
def test_misfits_are_errors(change):
    state = official(plain_shapes())
    if change == 'missing':
        del state['FCs.fc_bin']
        message = r"lacks \['FCs\.fc_bin'\]"
    elif change == 'extra':
        state['Decoder.weight'] = torch.zeros(1)
        message = r"has \['Decoder\.weight'\]"
    else:
        state['FCs.fc_bin'] = torch.zeros(31, 256, 128)
        message = r'FCs\.fc_bin has shape \(31, 256, 128\)'
    with pytest.raises(CheckpointError, match=message):
        from_official(MODELS.build(plain()), state)
    with pytest.raises(CheckpointError, match='not that of the model'):
        to_official(MODELS.build(plain()), {'a': torch.zeros(1)})
    odd = gaitgl(5, (3,), ((4,), (5,)))
    with pytest.raises(CheckpointError, match='no counterpart'):
        official_names(MODELS.build(odd))


class Danger:
    def __reduce__(self):
        return os.system, ('touch ran',)


def test_official_files_are_read_safely(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = official(plain_shapes())
    path = tmp_path / 'official.pt'
    content = {'model': state, 'optimizer': {'state': {}}, 'iteration': 60000}
    if hasattr(torch.serialization, 'safe_globals'):
        content['scheduler'] = {'milestones': Counter([20000, 40000])}
    torch.save(content, path)
    assert all(torch.equal(v, state[k]) for k, v in load_official(path).items())
    for bad in ({'model': state, 'extra': Danger()}, {'weights': state}, [1]):
        torch.save(bad, path)
        with pytest.raises(CheckpointError, match=r'official\.pt'):
            load_official(path)
    path.write_bytes(b'nonsense')
    with pytest.raises(CheckpointError, match=r'official\.pt'):
        load_official(path)
    assert not (tmp_path / 'ran').exists()


def test_checkpoint_tool(tmp_path, monkeypatch):
    state = official(plain_shapes())
    torch.save({'model': state, 'iteration': 60000}, tmp_path / 'official.pt')
    config = ROOT / 'configs/gait/gaitbase/gaitbase-plain_8xb16-60k_casiab-64x44.py'

    def run(*arguments):
        run_tool(monkeypatch, 'convert_checkpoint.py', config, *arguments)

    run(tmp_path / 'official.pt', tmp_path / 'ours.pth')
    run(tmp_path / 'ours.pth', tmp_path / 'back.pt', '--to-official')
    back = load_official(tmp_path / 'back.pt')
    assert set(back) == set(state) and all(torch.equal(back[k], state[k]) for k in state)
    with pytest.raises(SystemExit, match='expected a dict with'):
        run(tmp_path / 'ours.pth', tmp_path / 'x.pth')
    torch.save({'model': official(gaitgl_shapes())}, tmp_path / 'gl.pt')
    with pytest.raises(SystemExit, match='lacks'):
        run(tmp_path / 'gl.pt', tmp_path / 'x.pth')
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'back.pt', 'gl.pt', 'official.pt', 'ours.pth']
