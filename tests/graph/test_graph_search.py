"""How many traces the search for what the module follows takes, and that it gives up no good unit.
"""
from __future__ import annotations

import pytest
import torch
from torch import nn

from razor_ext.graph import analyze
from razor_ext.graph.proof import Prover


class Gate(nn.Module):
    """Gates one half of a widened stream by the other; a fixed width keeps it from being sliced."""

    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.widen, self.back, self.width = nn.Linear(4, 12), nn.Linear(6, 4), 6 if fixed else None

    def forward(self, x):
        x = self.widen(x)
        width = self.width or x.shape[-1] // 2
        value, gate = x.split([width, x.shape[-1] - width], -1)
        return self.back(value * gate)


class Heads(nn.Module):
    """Holds the sizes of a view that splits channels, as attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 12), nn.Linear(12, 4)

    def forward(self, x):
        return self.b((self.a(x).view(-1, 3, 4) * 2).view(-1, 12)).relu()


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of units in each choice that is traced."""
    counts: list[int] = []
    plain = Prover.mismatch

    def counted(self, keep):
        counts.append(len(keep))
        return plain(self, keep)

    monkeypatch.setattr(Prover, 'mismatch', counted)
    return counts


@pytest.mark.parametrize('blocks', [6, 18])
def test_what_fails_at_one_line_is_refused_at_once(blocks, traces):
    torch.manual_seed(0)  # of many ReLUs in a row, one may pass nothing on
    model = nn.Sequential(*(Heads() for _ in range(blocks)), nn.Linear(4, 8), nn.Linear(8, 2))
    graph = analyze(model, torch.randn(2, 4))
    assert len(graph.refused) == blocks
    assert all('view' in reason for reason in graph.refused.values())
    assert f'{blocks}_(0, 8)_8' in {unit.name for unit in graph.units}
    assert len(traces) < 30


@pytest.mark.parametrize('bad', [{0, 1}, {5, 6, 7}])
def test_a_line_that_fails_in_some_modules_does_not_condemn_the_others(bad):
    model = nn.Sequential(*(Gate(i in bad) for i in range(8)), nn.Linear(4, 2))
    graph = analyze(model, torch.randn(2, 4))
    refused = {name.partition('.')[0] for name in graph.refused}
    assert {str(i) for i in bad} <= refused
    kept = {unit.name.partition('.')[0] for unit in graph.units if '.widen' in unit.name}
    assert len(kept) >= 4
