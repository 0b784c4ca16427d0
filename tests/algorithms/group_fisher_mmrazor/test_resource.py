"""Closed-form resources against MMRazor's counters on the static model."""
from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmrazor.models.task_modules.demo_inputs import DefaultDemoInput
from mmrazor.models.task_modules.estimators import ResourceEstimator
from mmrazor.registry import MODELS
from tiny_pose import SIZE, group_fisher

from razor_ext.algorithms.group_fisher_mmrazor.loading import freeze_structure

DEMO = DefaultDemoInput((1, 3, *SIZE))


@pytest.fixture(scope='module')
def algorithm() -> torch.nn.Module:
    model = MODELS.build(group_fisher())
    model.measure_resource(DEMO)
    return model


def test_costs_are_asked_for_before_they_are_known() -> None:
    with pytest.raises(RuntimeError, match=r'call measure_resource\(\) first'):
        MODELS.build(group_fisher()).mutator.current_ratio()


def _count(model: torch.nn.Module) -> dict:
    return ResourceEstimator().estimate(model, flops_params_cfg=dict(
        input_shape=(1, 3, *SIZE), input_constructor=lambda _: DEMO.get_data(model)))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_equals_the_counters_of_the_static_model(algorithm: torch.nn.Module, seed: int) -> None:
    """FLOPs and parameters of random structures, depthwise convolutions and pooling included."""
    generator = torch.Generator().manual_seed(seed)
    pruned = copy.deepcopy(algorithm)
    for unit in pruned.mutator.mutable_units:
        keep = torch.rand(unit.num_channels, generator=generator) < 0.6
        keep[0] = True
        unit.mutable_channel.mask.copy_(keep.float())
    predicted = algorithm.mutator.resource.evaluate(pruned.mutator.counts())
    freeze_structure(pruned.architecture)
    measured = _count(pruned.architecture)
    # The estimator rounds to 0.001 M.
    assert predicted['flops'] == pytest.approx(measured['flops'], abs=6e-4)
    assert predicted['params'] == pytest.approx(measured['params'], abs=6e-4)


def test_measuring_leaves_the_model_as_it_was(algorithm: torch.nn.Module) -> None:
    """Masks, training mode and weights are untouched."""
    algorithm.train()
    mask = algorithm.mutator.mutable_units[0].mutable_channel.mask
    mask[0] = 0
    before = {key: value.clone() for key, value in algorithm.state_dict().items()}
    algorithm.measure_resource(DEMO)
    assert algorithm.training
    for key, value in algorithm.state_dict().items():
        torch.testing.assert_close(value, before[key])
    assert algorithm.mutator.resource.dense['flops'] == pytest.approx(
        algorithm.mutator.resource.evaluate({})['flops'])
    algorithm.mutator.mutable_units[0].mutable_channel.mask[0] = 1


def test_flops_per_channel_is_the_difference(algorithm: torch.nn.Module) -> None:
    """The slope equals what removing one channel saves, normalisation and bias apart."""
    resource, counts = algorithm.mutator.resource, algorithm.mutator.counts()
    slope = resource.flops_per_channel(counts)
    plain = copy.copy(resource)
    plain._rest_slope = plain._rest_slope * 0
    for unit in algorithm.mutator.mutable_units[:6]:
        less = {**counts, unit.name: counts[unit.name] - 1}
        saved = plain.evaluate(counts)['flops'] - plain.evaluate(less)['flops']
        assert saved * 1e6 == pytest.approx(slope[unit.name], rel=0.05)
