"""Conversion of checkpoints that are broken, hostile, or of something else; and of odd ones."""
from __future__ import annotations

import collections
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from razor_ext.gait.checkpoint import (
    CheckpointError,
    from_official,
    load_official,
    load_own,
    official_names,
    to_official,
)

from .gait_builders import gaitbase
from .gait_trees import run_tool

SMALL = gaitbase(5, (4, 6, 8, 10), 7)


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return MODELS.build(SMALL)


@pytest.fixture
def own(model):
    """Our state dict."""
    return {key: value.clone() for key, value in model.state_dict().items()}


@pytest.fixture
def official(model, own):
    """The same in OpenGait's names."""
    return to_official(model, own)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Runs the tool on a small config; gives its message if it fails, and the target file."""
    config = tmp_path / 'config.py'
    config.write_text(Config({'model': SMALL}).pretty_text)

    def run(source, *options, config=config):
        target = tmp_path / 'target.pth'
        try:
            run_tool(monkeypatch, 'convert_checkpoint.py', config, source, target, *options)
        except SystemExit as error:
            assert not target.exists()
            assert 'Traceback' not in str(error.code) and len(str(error.code)) < 1500
            return str(error.code)
        return target
    return run


def same(left, right):
    return set(left) == set(right) and all(torch.equal(left[k], right[k]) for k in right)


@pytest.mark.parametrize('wrap', ['model', 'bare', 'module', 'scalars'])
def test_official_files_of_every_form(tool, tmp_path, official, own, wrap):
    content = {'model': official, 'iteration': 3}
    if wrap == 'bare':
        content = official
    elif wrap == 'module':
        content = {'model': {f'module.{key}': value for key, value in official.items()}}
    elif wrap == 'scalars':
        content = {**content, 'iteration': np.int64(3), 'loss': np.float32(0.5),
                   'scheduler': {'milestones': collections.Counter([2, 4])}}
    torch.save(content, tmp_path / 'x.pt')
    found = torch.load(tool(tmp_path / 'x.pt'), weights_only=True)['state_dict']
    assert same(found, own)


@pytest.mark.parametrize('wrap', ['state_dict', 'bare', 'module', 'numpy'])
def test_own_files_of_every_form(tool, tmp_path, official, own, wrap):
    content = {'state_dict': own, 'meta': {'iter': 7}}
    if wrap == 'bare':
        content = own
    elif wrap == 'module':
        content = {'state_dict': {f'module.{key}': value for key, value in own.items()}}
    elif wrap == 'numpy':
        content['meta']['iter'] = np.int64(7)
    torch.save(content, tmp_path / 'x.pth')
    found = torch.load(tool(tmp_path / 'x.pth', '--to-official'), weights_only=True)
    assert same(found['model'], official)
    assert found['iteration'] == (7 if wrap in ('state_dict', 'numpy') else 0)


def test_batches_that_nobody_counted(model, official, own):
    old = {key: value for key, value in official.items() if 'num_batches' not in key}
    assert len(old) < len(official)
    assert same(from_official(model, old), own)
    assert same(to_official(model, {k: v for k, v in own.items() if 'num_batches' not in k}),
                official)


def test_what_is_no_checkpoint(tool, tmp_path, official, own):
    def message(content, *options):
        path = tmp_path / 'x.pt'
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        text = tool(path, *options)
        assert isinstance(text, str) and 'x.pt' in text, text
        return text

    for options in ((), ('--to-official',)):
        for content in (b'', b'some text\n', b'\x80\x04', b'PK\x03\x04', [1, 2], {}, 'x', None,
                        {'state': 1}, {1: torch.zeros(1)}):
            message(content, *options)
    assert 'found one of ours' in message({'state_dict': own})
    assert 'is an official checkpoint already' in message({'model': official}, '--to-official')
    assert 'differ in' in tool(save(official, tmp_path / 'bare.pt'), '--to-official')
    assert 'nowhere.pt' in tool(tmp_path / 'nowhere.pt')
    assert 'refused' in tool(tmp_path)


def save(content, path):
    torch.save(content, path)
    return path


def test_damaged_files(tool, tmp_path, official):
    """Cut off anywhere, or with a byte flipped: an error, or the very weights."""
    path = tmp_path / 'x.pt'
    torch.save({'model': official}, path)
    whole = path.read_bytes()
    for end in (1, 100, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert 'unreadable' in tool(path)
    expected = load_official_bytes(tmp_path, whole)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(0, 8))
        try:
            found = load_official_bytes(tmp_path, bytes(broken))
        except CheckpointError:
            continue
        assert same(found, expected)


def load_official_bytes(folder, content):
    path = folder / 'bytes.pt'
    path.write_bytes(content)
    return load_official(path)


class Danger:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (self.marker, 'w')


def test_hostile_files_run_nothing(tool, tmp_path, official):
    marker = str(tmp_path / 'ran')
    for content in ({'model': official, 'x': Danger(marker)}, Danger(marker),
                    {'model': {**official, 'FCs.fc_bin': Danger(marker)}}):
        torch.save(content, tmp_path / 'x.pt')
        for options in ((), ('--to-official',)):
            assert 'refused' in tool(tmp_path / 'x.pt', *options)
        (tmp_path / 'y.pt').write_bytes(pickle.dumps(content))
        assert 'refused' in tool(tmp_path / 'y.pt')
    with zipfile.ZipFile(tmp_path / 'z.pt', 'w') as file:
        file.writestr('a/data.pkl', pickle.dumps(Danger(marker), 2))
    assert 'refused' in tool(tmp_path / 'z.pt')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_not_finite(tool, tmp_path, official, own, value):
    official['FCs.fc_bin'][0, 0, 0] = own['head.fc.weight'][0, 0, 0] = value
    torch.save({'model': official}, tmp_path / 'x.pt')
    assert "'FCs.fc_bin' is not finite" in tool(tmp_path / 'x.pt')
    torch.save({'state_dict': own}, tmp_path / 'x.pt')
    assert "'head.fc.weight' is not finite" in tool(tmp_path / 'x.pt', '--to-official')


def test_shapes_that_do_not_fit(tool, tmp_path, model, official, own):
    own['head.fc.weight'] = own['head.fc.weight'][:, :, :5]
    torch.save({'state_dict': own}, tmp_path / 'x.pt')
    assert 'head.fc.weight has shape (16, 10, 5), that of the model (16, 10, 7)' in \
        tool(tmp_path / 'x.pt', '--to-official')
    own = model.state_dict()
    own['head.classifier.weight'] = torch.zeros(16, 7, 9)
    torch.save({'state_dict': own}, tmp_path / 'x.pt')
    assert 'give --num-classes' in tool(tmp_path / 'x.pt', '--to-official')
    assert tool(tmp_path / 'x.pt', '--to-official', '--num-classes', 9).is_file()
    (tmp_path / 'target.pth').unlink()
    official['FCs.fc_bin'] = torch.zeros(3)
    torch.save({'model': official}, tmp_path / 'x.pt')
    assert 'FCs.fc_bin has shape (3,)' in tool(tmp_path / 'x.pt')
    official['FCs.fc_bin'] = torch.zeros(16, 10, 7)
    official['BNNecks.fc_bin'] = torch.zeros(())
    with pytest.raises(CheckpointError, match=r'has shape \(\)'):
        from_official(model, official)


def test_configs_that_are_none(tool, tmp_path, official, capsys):
    source = tmp_path / 'x.pt'
    torch.save({'model': official}, source)
    files = {'opengait.yaml': 'model_cfg: {model: Baseline}\n', 'broken.py': 'model = (',
             'empty.py': '', 'raises.py': '1 / 0', 'other.py': "model = dict(type='BaseModel')",
             'list.py': 'model = [1]', 'text.txt': 'x',
             'unknown.py': "model = dict(type='Nothing', head=dict())"}
    for name, content in files.items():
        path = tmp_path / name
        path.write_text(content)
        assert name in tool(source, config=path)
    assert 'convert_config.py makes one' in tool(source, config=tmp_path / 'opengait.yaml')
    assert 'does not exist' in tool(source, config=tmp_path / 'nowhere.py')
    assert 'replace the checkpoint that is read' in tool(tmp_path / 'target.pth')
    for number in ('0', '-1', 'many'):
        tool(source, '--num-classes', number)
        assert 'must be a whole number of at least 1' in capsys.readouterr().err


def test_models_that_opengait_does_not_have(model, own):
    class Other(torch.nn.Module):
        pass

    odd = MODELS.build(SMALL)
    odd.backbone = Other()
    with pytest.raises(CheckpointError, match='no model with the backbone Other'):
        official_names(odd)
    with pytest.raises(CheckpointError, match='differ in'):
        to_official(model, {**own, 'x' * 10000: torch.zeros(1)})


def test_own_checkpoints_are_told_their_iteration(tmp_path, own):
    for meta, expected in (({'iter': 5}, 5), ({'iter': 'x'}, 0), (None, 0), ([], 0)):
        torch.save({'state_dict': own, 'meta': meta}, tmp_path / 'x.pth')
        assert load_own(tmp_path / 'x.pth')[1] == expected
