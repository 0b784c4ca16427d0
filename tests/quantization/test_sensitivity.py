"""Sensitivity by side and width, and the bits that follow from it."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from razor_ext.quantization import (
    CalibrationError,
    QuantConfig,
    count_costs,
    quantize_model,
    quantizer_handles,
)
from razor_ext.quantization.allocation import allocate_bits
from razor_ext.quantization.sensitivity import WidthGrids, measure_sensitivity, output_error


class Branches(nn.Module):
    """Two equal branches of which the second hardly counts."""

    def __init__(self) -> None:
        super().__init__()
        self.loud, self.quiet = nn.Linear(8, 16), nn.Linear(8, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.loud(x) + 1e-3 * self.quiet(x)


def run(model: nn.Module, batch: torch.Tensor) -> list[torch.Tensor]:
    return [model(batch)]


@pytest.fixture
def scene():
    torch.manual_seed(0)
    model, batches = Branches(), [torch.randn(64, 8) for _ in range(2)]
    quantize_model(model, QuantConfig(weight_bits=(2, 8), activation_bits=(3, 8),
                                      weight_power=False))
    return model, batches, WidthGrids(model, batches)


def test_fewer_bits_lose_more_and_what_counts_loses_most(scene):
    model, batches, grids = scene
    model.train()
    losses = measure_sensitivity(model, grids, batches, run)
    assert model.training
    assert set(losses) == {(layer, side) for layer in ('loud', 'quiet')
                           for side in ('weight', 'input')}
    for side, widths in losses.items():
        assert sorted(widths) == list(range(2 if side[1] == 'weight' else 3, 9))
        values = [widths[width] for width in sorted(widths)]
        assert values == sorted(values, reverse=True)
    # A step of half the size errs a quarter as much.
    assert 2.5 < losses['loud', 'weight'][5] / losses['loud', 'weight'][6] < 6
    assert losses['loud', 'weight'][4] > 1e4 * losses['quiet', 'weight'][4]


def test_the_branch_that_hardly_counts_gives_its_bits(scene):
    model, batches, grids = scene
    losses = measure_sensitivity(model, grids, batches, run)
    costs = count_costs(model, batches[0][:1])
    macs = sum(cost.macs for cost in costs)
    bits = allocate_bits(costs, losses, macs * 25)
    assert bits['quiet', 'weight'] < bits['loud', 'weight']
    assert bits['quiet', 'input'] < bits['loud', 'input']
    grids.place(bits)
    for handle in quantizer_handles(model):
        layer, side = handle.name.removesuffix('_quantizer').split('.')
        assert handle.quantizer.fixed_bits == bits[layer, side]
    assert sum(float(cost.bops) for cost in count_costs(model, batches[0][:1])) <= macs * 25
    searched = sum(output_error(run(model, batch), [Branches.forward(plain(model), batch)])
                   for batch in batches)
    grids.place(dict.fromkeys(bits, 5))
    uniform = sum(output_error(run(model, batch), [Branches.forward(plain(model), batch)])
                  for batch in batches)
    assert searched < uniform


def plain(model: nn.Module) -> Branches:
    other = Branches()
    other.load_state_dict({key: value for key, value in model.state_dict().items()
                           if 'quantizer' not in key})
    return other


def test_a_range_is_that_of_its_width(scene):
    # The error of few bits is least with a narrower range than that of many.
    model, _, grids = scene
    ranges = {}
    for width in (3, 8):
        grids.place({('loud', 'input'): width})
        ranges[width] = float(model.loud.input_quantizer.q_m)
    assert ranges[3] < ranges[8]


def test_a_reference_of_ones_own(scene):
    model, batches, grids = scene
    shifted = [[output + 0.5 for output in run(plain(model), batch)] for batch in batches]
    losses = measure_sensitivity(model, grids, batches, run, shifted)
    assert all(value >= 0 for widths in losses.values() for value in widths.values())
    with pytest.raises(CalibrationError, match='no batch'):
        measure_sensitivity(model, grids, [], run)
