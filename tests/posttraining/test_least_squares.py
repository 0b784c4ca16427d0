"""Fits of layers: to what the dense layer returns, from what is left of its inputs."""
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from razor_ext.gait.models.layers import PartLinear
from razor_ext.posttraining.least_squares import fit_weight, ridge_fit
from razor_ext.posttraining.rows import rows_of


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_what_can_be_made_of_the_rest_is_made():
    torch.manual_seed(0)
    x = torch.randn(200, 6)
    x[:, 5] = x[:, 0] - 2 * x[:, 1]  # its part can be taken over
    dense = torch.randn(3, 6)
    left, start = x[:, :5], dense[:, :5]
    weight, before, after = fit_weight(left, x @ dense.T, start)
    assert before > 0.1
    assert after < 1e-4
    assert torch.allclose(left @ weight.T, x @ dense.T, atol=0.05)


def test_a_fit_that_does_not_hold_is_not_taken():
    torch.manual_seed(0)
    weight = torch.randn(2, 30)
    x = torch.randn(40, 30)
    found, before, after = fit_weight(x, torch.cat([torch.randn(30, 2), x[30:] @ weight.T]), weight)
    assert torch.equal(found, weight)
    assert before == after == pytest.approx(0, abs=1e-10)


def test_inputs_that_are_always_zero_change_nothing():
    weight = torch.randn(2, 3)
    assert torch.allclose(ridge_fit(torch.zeros(8, 3), torch.zeros(8, 2), weight, 1e-2), weight)
    x = torch.randn(50, 3)
    x[:, 1] = 0
    fitted = ridge_fit(x, torch.randn(50, 2), weight, 1e-2)
    assert torch.allclose(fitted[:, 1], weight[:, 1])


def test_a_fit_is_the_least_of_its_objective():
    torch.manual_seed(0)
    x, y, start, ridge = torch.randn(40, 4).double(), torch.randn(40, 3).double(), torch.randn(
        3, 4).double(), 0.1
    fitted = ridge_fit(x, y, start, ridge).requires_grad_()
    distance = ridge * x.square().mean() * (fitted - start).square().sum()
    ((x @ fitted.T - y).square().sum() / 40 + distance).backward()
    assert fitted.grad is not None
    assert fitted.grad.abs().max() < 1e-10


LAYERS = [nn.Linear(5, 3), nn.Linear(5, 3, bias=False), nn.Conv1d(4, 3, 3, padding=1),
          nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Conv2d(4, 6, (1, 3), dilation=(1, 2)),
          nn.Conv2d(6, 6, 5, padding=2, groups=6), nn.Conv2d(4, 3, 4, padding='same', bias=False),
          nn.Conv3d(2, 3, 3, padding=1), PartLinear(4, 5, 3)]


@settings(max_examples=20)
@given(st.sampled_from(range(len(LAYERS))), st.integers(1, 400), st.integers(7, 11))
def test_rows_times_weight_are_the_output(number, rows, size):
    layer = LAYERS[number]
    taken = rows_of(layer)
    torch.manual_seed(size)
    if isinstance(layer, nn.Linear):
        x = torch.randn(2, size, 5)
    elif isinstance(layer, PartLinear):
        x = torch.randn(size, 5, 4)
    else:
        x = torch.randn(2, layer.in_channels, *[size + d for d in range(len(layer.kernel_size))])
    with torch.no_grad():
        y = layer(x)
        assert taken.returns(x, y.shape)
        places = taken.draw(y, rows, generator())
        expected = taken.outputs(y, places)
        found = taken.inputs(x, places) @ taken.weight().mT
        assert torch.allclose(found, expected, atol=1e-4)
        channels = torch.tensor([0, 2])
        kept = taken.keep(expected, channels)
        assert torch.equal(kept, expected[channels] if layer is LAYERS[5]
                           else expected[..., channels])


def test_a_weight_is_put_back_as_it_was_taken():
    for layer in LAYERS:
        taken = rows_of(layer)
        before = {name: p.clone() for name, p in layer.named_parameters()}
        rows = taken.weight().clone()
        taken.set_weight(2 * rows)
        for name, parameter in layer.named_parameters():
            assert torch.equal(parameter, 2 * before[name])
        taken.set_weight(rows)


@pytest.mark.parametrize('layer', [
    nn.Conv2d(4, 4, 3, groups=2), nn.ConvTranspose2d(4, 4, 3), nn.BatchNorm2d(4),
    nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect')])
def test_what_is_no_map_of_rows_is_left(layer):
    assert rows_of(layer) is None
