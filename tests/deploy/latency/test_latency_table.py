"""Measured layers and the divisors that follow."""
from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.integers.audit import count_operators, optimized_graph
from razor_ext.deploy.latency import Spread
from razor_ext.deploy.latency.divisors import UnitLayer, choose_divisors, unit_layers
from razor_ext.deploy.latency.single_layers import layer_model, measure_layer
from razor_ext.deploy.latency.table import LatencyTable
from razor_ext.graph import analyze
from razor_ext.structure.latency import LayerShape

from ..small_net import float_net

SHAPE = LayerShape(8, 12, (3, 3), (2, 2), 1, (10, 8))


class Steps:
    """A machine that works in blocks of channels."""

    def __init__(self, block: int) -> None:
        self.block, self.calls = block, 0

    def __call__(self, shape: LayerShape, bits: int) -> Spread:
        self.calls += 1
        time = float(np.prod([-(-side // self.block) for side in (shape.inputs, shape.outputs)]))
        return Spread(time, time * 2, time * 5)


@pytest.mark.smoke
@pytest.mark.parametrize('block', [1, 4, 16])
def test_divisor_is_the_block_of_the_machine(tmp_path, block):
    layers = {'a': [UnitLayer(LayerShape(32, 64), 0.0, 1.0), UnitLayer(LayerShape(64, 48), 1.0, 0)]}
    table = LatencyTable(tmp_path, Steps(block))
    assert choose_divisors(layers, {'a': 64}, table, 8, tolerance=0.01) == {'a': block}
    # at most half of a narrow unit
    layers = {'a': [UnitLayer(LayerShape(32, 16), 0.0, 1.0)]}
    assert choose_divisors(layers, {'a': 16}, table, 8)['a'] <= 8


def test_table_is_kept_and_measured_once(tmp_path):
    measure = Steps(4)
    table = LatencyTable(tmp_path, measure)
    first = table.milliseconds(SHAPE, 8)
    assert table.milliseconds(SHAPE, 4) == first  # the same kernel
    assert measure.calls == 1
    table.milliseconds(SHAPE, 32)
    table.save()
    again = LatencyTable(tmp_path, Steps(1))
    assert len(again) == 2
    assert again.milliseconds(SHAPE, 8) == first
    again.path.write_text(json.dumps({'a': 3}))
    with pytest.raises(DeployError, match=r'damaged.*delete it'):
        LatencyTable(tmp_path)


@pytest.mark.parametrize('bits, kernel', [(8, 'QLinearConv'), (32, 'Conv')])
def test_single_layers_run_in_the_kernel_meant(bits, kernel):
    operators = count_operators(optimized_graph(layer_model(SHAPE, bits)))
    assert operators.get(kernel) == 1
    spread = measure_layer(SHAPE, bits, rounds=3)
    assert 0 < spread.min <= spread.max


def test_layers_of_units():
    model = float_net()
    batch = torch.zeros(1, 3, 16, 12)
    units = analyze(model, batch).units
    found = unit_layers(model, units, lambda: model(batch))
    stem = next(unit for unit in units if unit.name.startswith('stem'))
    shapes = {(end.shape, end.inputs, end.outputs) for end in found[stem.name]}
    assert (LayerShape(3, 8, (3, 3), (2, 2), 1, (16, 12)), 0.0, 1.0) in shapes
    depthwise = next(end for end in found[stem.name] if end.shape.groups == 8)
    assert depthwise.at(5, 8) == LayerShape(5, 5, (3, 3), (1, 1), 5, (8, 6))
    attention = next(end for end in found[stem.name] if end.shape.outputs == 16)
    # half or all of the concatenation, depending on what the unit spans
    assert attention.at(4, 8).inputs == round(16 * (1 - attention.inputs) + 8 * attention.inputs)


@pytest.mark.parametrize('options', [{'keep': 0.0}, {'keep': 1.5}, {'candidates': (0, 2)}])
def test_wrong_options(tmp_path, options):
    with pytest.raises(DeployError, match='keep='):
        choose_divisors({}, {}, LatencyTable(tmp_path), 8, **options)
