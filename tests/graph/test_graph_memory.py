"""What was proved before is not proved again, and nothing else is taken for proved."""
from __future__ import annotations

import contextlib
import importlib.util
import json
import sys

import pytest
import torch
from torch import nn

from razor_ext.graph import NothingToPruneError, analyze, proof_folder
from razor_ext.graph.proof import Prover

SOURCE = '''
import torch
from torch import nn

HALF = 4


def halves(x):
    return x[:, :HALF], x[:, HALF:]


class Net(nn.Module):
    """Two halves of channels, of which a constant says where they meet, and a plain one."""

    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.second = nn.Conv2d(4, 4, 1)
        self.third = nn.Conv2d(4, width, 1)
        self.fourth = nn.Conv2d(width, 6, 1)
        self.last = nn.Conv2d(6, 2, 1)
        self.note = 'a'
        self.register_buffer('mask', torch.ones(1, 4, 1, 1))

    def forward(self, x):
        a, b = halves(self.first(x))
        return self.last(self.fourth(self.third(self.second(a) * self.mask + b)))
'''
IMAGE = torch.randn(1, 3, 4, 4)


@pytest.fixture
def net(tmp_path, monkeypatch):
    """A function that defines the net anew from a source, and builds it."""
    file = tmp_path / 'a_net.py'

    def make(source: str = SOURCE, **arguments) -> nn.Module:
        file.write_text(source)
        spec = importlib.util.spec_from_file_location('a_net', file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, 'a_net', module)
        exec(compile(source, str(file), 'exec'), module.__dict__)
        return module.Net(**arguments)

    return make


@pytest.fixture
def comparisons(monkeypatch):
    """The comparisons in float64 that were made."""
    made, whole = [], Prover.compare
    monkeypatch.setattr(Prover, 'compare',
                        lambda self, keep: made.append(1) or whole(self, keep))
    return made


@pytest.fixture(autouse=True)
def files_are_read_anew():
    from razor_ext.graph import fingerprint
    fingerprint._content.cache_clear()
    yield
    fingerprint._content.cache_clear()


def test_a_proof_is_remembered_with_what_it_refused(net, comparisons, tmp_path):
    first = analyze(net(), IMAGE, memory=tmp_path / 'proofs')
    assert comparisons and not first.evidence.remembered and len(first.refused) > 0
    comparisons.clear()
    second = analyze(net(), torch.randn(1, 3, 4, 4), memory=tmp_path / 'proofs')
    assert len(comparisons) == 1 and second.evidence.remembered
    assert second.refused == first.refused
    assert [unit.name for unit in second.units] == [unit.name for unit in first.units]
    assert second.evidence.error == first.evidence.error
    assert 'proved before by 4 choices' in second.summary()


@pytest.mark.parametrize('change', [
    'attribute', 'buffer', 'width', 'helper', 'input', 'keep', 'weight that is not finite'])
def test_anything_else_is_proved_anew(change, net, comparisons, tmp_path):
    model, image, source, options = net(), IMAGE, SOURCE, {'memory': tmp_path / 'proofs'}
    analyze(model, image, **options)
    if change == 'helper':
        source = SOURCE.replace('HALF = 4', 'HALF = 2 + 2')
    elif change == 'input':
        image = torch.randn(1, 3, 4, 5)
    elif change == 'keep':
        options['keep'] = ['third']
    model = net(source, width=10 if change == 'width' else 8)
    if change == 'attribute':
        model.note = 'b'
    elif change == 'buffer':
        model.mask[0, 1] = 2
    elif change == 'weight that is not finite':
        model.last.bias.data[0] = float('nan')
    comparisons.clear()
    from razor_ext.graph import fingerprint
    fingerprint._content.cache_clear()
    with contextlib.suppress(NothingToPruneError):
        assert not analyze(model, image, **options).evidence.remembered
    assert len(comparisons) > 1


@pytest.mark.parametrize('damage', [
    'no json', 'no mapping', 'other units', 'axis', 'nothing refused'])
def test_a_file_is_not_trusted(damage, net, comparisons, tmp_path):
    first = analyze(net(), IMAGE, memory=tmp_path)
    path, = tmp_path.glob('*.json')
    content = json.loads(path.read_text())
    if damage == 'axis':
        content['policy'] = [[[2, 4], 7]]
    elif damage == 'other units':
        content['units'] = '0'
    elif damage == 'nothing refused':
        from razor_ext.graph.fingerprint import units_digest
        content.update(refused={}, units=units_digest(analyze(net(), IMAGE, verify=False)))
    path.write_text({'no json': '{', 'no mapping': '[]'}.get(damage) or json.dumps(content))
    comparisons.clear()
    second = analyze(net(), IMAGE, memory=tmp_path)
    assert comparisons and not second.evidence.remembered
    assert second.refused == first.refused
    assert analyze(net(), IMAGE, memory=tmp_path).evidence.remembered


def test_what_has_no_source_is_not_remembered(tmp_path, monkeypatch):
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1))
    model.hook = eval('lambda x: x', {'__name__': 'prompt'})
    analyze(model, IMAGE, memory=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path):
    (tmp_path / 'file').touch()
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1))
    with pytest.warns(UserWarning, match='RAZOR_EXT_PROOFS'):
        assert analyze(model, IMAGE, memory=tmp_path / 'file').units


def test_the_folder_of_proofs(monkeypatch, tmp_path):
    assert proof_folder() is None  # the tests remember nothing
    monkeypatch.setenv('RAZOR_EXT_PROOFS', str(tmp_path))
    assert proof_folder() == tmp_path
    monkeypatch.delenv('RAZOR_EXT_PROOFS')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert proof_folder() == tmp_path / 'razor_ext' / 'proofs'
