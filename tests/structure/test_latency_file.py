"""Latency estimated from times of single layers."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from razor_ext.graph import analyze
from razor_ext.structure.latency import (
    FLOAT,
    INTEGER,
    LatencyCost,
    LatencyFileError,
    LayerShape,
    LayerTimes,
    layer_shapes,
)


class Net(nn.Module):
    """A convolution, a depthwise one, a residual sum, a concatenation, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.last = nn.Conv2d(16, 12, 1)
        self.linear = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        x = torch.cat([x, self.depthwise(x) + x], 1)
        return self.linear(self.last(x).mean((2, 3)))


@pytest.fixture
def scene():
    """Units and shapes of the net."""
    torch.manual_seed(0)
    model = Net().eval()
    x = torch.randn(1, 3, 6, 4)
    with torch.no_grad():
        shapes = layer_shapes(model, lambda: model(x))
    return model, analyze(model, x), shapes


def entry(shape: LayerShape, bits: int, time) -> dict:
    """Times of a kind at a coarse grid."""
    outputs = [1, 4, 16]
    inputs = [] if shape.depthwise else [1, 6, 16]
    times = ([time(0, after) for after in outputs] if shape.depthwise
             else [[time(before, after) for after in outputs] for before in inputs])
    return {'kind': shape.kind, 'bits': bits, 'inputs': inputs, 'outputs': outputs, 'ms': times}


def write(path: Path, shapes, time=lambda before, after: (before + 2) * (after + 3),
          bits=(FLOAT, INTEGER)) -> Path:
    kinds = [entry(shape, width, lambda before, after, factor=width: factor * time(before, after))
             for shape in {shape.kind: shape for shape in shapes.values()}.values()
             for width in bits]
    path.write_text(json.dumps({'hardware': 'a', 'kinds': kinds}))
    return path


def test_shapes_of_what_runs(scene):
    _, _, shapes = scene
    assert shapes == {
        'stem': LayerShape(3, 8, (3, 3), (1, 1), 1, (6, 4)),
        'depthwise': LayerShape(8, 8, (3, 3), (1, 1), 8, (6, 4)),
        'last': LayerShape(16, 12, size=(6, 4)), 'linear': LayerShape(12, 5)}
    assert shapes['depthwise'].kind != LayerShape(8, 8, (3, 3), (1, 1), 1, (6, 4)).kind
    assert LayerShape(8, 8, batch=3).kind != LayerShape(8, 8).kind


def test_estimate_is_the_sum_over_the_layers_left(scene, tmp_path):
    _, graph, shapes = scene
    cost = LatencyCost(graph.units, shapes, LayerTimes(write(tmp_path / 'a.json', shapes)),
                       {'last': INTEGER})
    stem, last = (next(unit.name for unit in graph.units if unit.name.startswith(name))
                  for name in ('stem', 'last'))

    def expected(first: int, second: int) -> int:
        return (FLOAT * (3 + 2) * (first + 3) + FLOAT * 2 * (first + 3)
                + INTEGER * (2 * first + 2) * (second + 3) + FLOAT * (second + 2) * (5 + 3))

    for first, second in ((8, 12), (5, 12), (8, 7), (1, 1)):
        assert cost({stem: first, last: second}) == pytest.approx(expected(first, second))
    assert cost({}) == pytest.approx(expected(8, 12))


def test_fewer_channels_never_cost_more(scene, tmp_path):
    _, graph, shapes = scene
    jitter = torch.Generator().manual_seed(0)
    path = write(tmp_path / 'a.json', shapes,
                 lambda before, after: before + after + 9 * torch.rand((), generator=jitter).item())
    cost = LatencyCost(graph.units, shapes, LayerTimes(path), {})
    stem = next(unit.name for unit in graph.units if unit.name.startswith('stem'))
    figures = [cost({stem: count}) for count in range(1, 9)]
    assert figures == sorted(figures)
    assert figures[0] < figures[-1]


def test_files_that_do_not_fit(scene, tmp_path):
    _, graph, shapes = scene
    with pytest.raises(LatencyFileError, match=r'no\.json.*latency_table\.py'):
        LayerTimes(tmp_path / 'no.json')
    path = write(tmp_path / 'a.json', {'stem': shapes['stem']})
    with pytest.raises(LatencyFileError, match=r'k3x3 s1x1 depthwise on 6x4.* at 32 bits'):
        LatencyCost(graph.units, shapes, LayerTimes(path), {})
    wide = {**shapes, 'last': LayerShape(99, 12, size=(6, 4))}
    path = write(tmp_path / 'a.json', shapes)
    with pytest.raises(LatencyFileError, match='as wide as 99 input and 12 output'):
        LatencyCost(graph.units, wide, LayerTimes(path), {})


@pytest.mark.parametrize('change', [
    lambda content: content.pop('kinds'),
    lambda content: content['kinds'][0].update(ms=[[1, 2], [3, 4]]),
    lambda content: content['kinds'][0].update(outputs=[4, 1, 16]),
    lambda content: content['kinds'][0]['ms'][0].__setitem__(0, -1),
    lambda content: content['kinds'][0].pop('inputs')])
def test_damaged_files(scene, tmp_path, change):
    path = write(tmp_path / 'a.json', scene[2])
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(LatencyFileError, match=r'damaged.*measure it again'):
        LayerTimes(path)
