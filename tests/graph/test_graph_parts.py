"""The proof on slim copies: every channel is there, wrong units are seen as often as stated."""
from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from razor_ext.graph import analyze, search
from razor_ext.graph.choices import telling_choices
from razor_ext.graph.parts import PARTS, halves, part_of, slim
from razor_ext.graph.proof import Prover
from razor_ext.graph.search import unproved
from razor_ext.graph.units import ChannelUnit

from .graph_nets import FrameNet, ResNet
from .test_graph_fuzz import tally_of_mutants

SMALL = dict(depth=(1, 1), width=8)
IMAGE = torch.randn(1, 3, 16, 16)
NEVER, ALWAYS = (0.0, 0.0), (math.inf, math.inf)


@pytest.fixture
def slim_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is proved on slim copies alone."""
    monkeypatch.setattr(search, 'WHOLE', NEVER)
    monkeypatch.setattr(search, 'ONCE', NEVER)


def units_of(*sizes: int) -> list[ChannelUnit]:
    return [ChannelUnit(str(i), size, ()) for i, size in enumerate(sizes)]


@pytest.mark.parametrize('size', [2, 3, 4, 7, 8, 9, 64, 100])
def test_every_channel_is_in_a_copy_and_removed_in_one(size):
    units = units_of(size, size)
    parts = [part_of(units, number) for number in range(PARTS)]
    assert torch.stack([part['1'] for part in parts]).any(0).all()
    if size >= 8:
        assert (torch.stack([part['1'] for part in parts]).sum(0) == 1).all()
    assert all(part['0'].sum() >= 2 for part in parts)
    for first, second in (halves(units, 0), telling_choices(units)[1:3]):
        assert (first['1'] ^ second['1']).all()
        assert first['1'].any() and second['1'].any()


def test_a_slim_copy_has_the_units_of_the_model():
    model = ResNet(**SMALL).eval()
    graph = analyze(model, IMAGE, verify=False)
    keep = part_of(graph.units, 1)
    small, units = slim(graph.model, graph.units, keep, [(1, 10)])
    again = {unit.name.rpartition('_(')[0]: unit for unit in analyze(small, IMAGE).units}
    assert len(again) == len(units)
    for unit in units:
        other = again[unit.name.rpartition('_(')[0]]
        assert {(m.name, m.dim): m.indices.tolist() for m in unit.members} == {
            (m.name, m.dim): m.indices.tolist() for m in other.members}


@pytest.mark.parametrize('once', [NEVER, ALWAYS])
def test_a_large_model_has_the_same_units(once, monkeypatch):
    whole = analyze(ResNet(**SMALL), IMAGE)
    assert (whole.evidence.whole, whole.evidence.copies) == (4, 0)
    monkeypatch.setattr(search, 'WHOLE', NEVER)
    monkeypatch.setattr(search, 'ONCE', once)
    graph = analyze(ResNet(**SMALL), IMAGE)
    assert [unit.name for unit in graph.units] == [unit.name for unit in whole.units]
    assert (graph.evidence.whole, graph.evidence.copies) == (int(once is ALWAYS), PARTS)
    assert graph.evidence.error < 1e-9
    assert analyze(ResNet(**SMALL), IMAGE, verify=False).evidence is None


def test_an_output_may_shrink(slim_copies):
    model, inputs = FrameNet(with_embedding=True), torch.randn(2, 1, 3, 16, 8)
    graph = analyze(model, inputs, free_outputs={0: [1]})
    assert 'fc.matrix_(0, 12)_12' in {unit.name for unit in graph.units}


def test_a_unit_without_effect_is_dropped(slim_copies):
    class Idle(nn.Module):

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 16), nn.Linear(16, 4), nn.Linear(4, 16)
            self.d = nn.Linear(16, 2)

        def forward(self, x):
            return self.d(self.c(x + 0 * self.b(self.a(x))))

    graph = analyze(Idle(), torch.randn(2, 4))
    assert [unit.name for unit in graph.units] == ['c_(0, 16)_16']
    assert 'changes no output' in graph.refused['a_(0, 16)_16']


@pytest.mark.parametrize('copies', [True, False])
@pytest.mark.parametrize('channels', [1, 3, 6, 12])
def test_wrong_units_stay_unseen_no_oftener_than_stated(copies, channels, monkeypatch):
    if copies:
        monkeypatch.setattr(search, 'WHOLE', NEVER)
        monkeypatch.setattr(search, 'ONCE', NEVER)
    model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 3))
    inputs, generator, unseen, draws = torch.randn(2, 4), torch.Generator().manual_seed(0), 0, 25
    for _ in range(draws):
        graph = analyze(model, inputs, verify=False)
        unit, = graph.units
        chosen = torch.randperm(64, generator=generator)[:channels]
        place = next(i for i, member in enumerate(unit.members) if member.role == 'in')
        indices = unit.members[place].indices.clone()
        indices[chosen] = indices[chosen.roll(1)] if channels > 1 else indices[chosen - 1]
        members = list(unit.members)
        members[place] = dataclasses.replace(members[place], indices=indices)
        graph.units = [dataclasses.replace(unit, members=tuple(members))]
        unseen += not unproved(Prover(model, graph), graph.units)
    if channels == 1:  # one channel removed in the wrong place
        assert unseen == 0
    else:
        assert unseen / draws <= graph.evidence.unseen(channels) + 0.2


def test_the_chance_of_wrong_units():
    evidence = analyze(ResNet(**SMALL), IMAGE).evidence
    assert evidence.unseen(2) == 0.625
    assert evidence.unseen(16) < 0.011
    assert dataclasses.replace(evidence, copies=4).unseen(16) == 2 ** -12
    with pytest.raises(ValueError, match='at least 2'):
        evidence.unseen(1)


@pytest.mark.parametrize('examples', [
    15, pytest.param(400, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_broken_rules_and_fixers_are_caught_by_one_comparison_and_slim_copies(
        examples, monkeypatch):
    monkeypatch.setattr(search, 'WHOLE', NEVER)
    monkeypatch.setattr(search, 'ONCE', ALWAYS)
    assert tally_of_mutants(examples).get('caught', 0) >= examples // 10
