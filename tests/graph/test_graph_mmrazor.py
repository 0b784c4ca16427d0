"""MMRazor's mutator takes the units of our graph."""
from __future__ import annotations

import pytest
import torch
from mmrazor.models.mutators import ChannelMutator
from torch import nn

from razor_ext.graph import analyze
from razor_ext.structure.mmrazor_units import (
    DynamicConv1d,
    DynamicConv3d,
    GraphChannelAnalyzer,
    spans,
    unit_configs,
)

from .graph_nets import ResNet, rtmpose
from .test_graph_models import MMRAZOR_UNITS

UNIT = dict(type='SequentialMutableChannelUnit', default_args=dict(choice_mode='number'))


def test_a_mutator_prunes_rtmpose_by_our_units():
    model = rtmpose('s')
    analyzer = GraphChannelAnalyzer((1, 3, 256, 192))
    mutator = ChannelMutator(UNIT, parse_cfg=analyzer)
    mutator.prepare_from_supernet(model)
    assert {unit.name for unit in mutator.mutable_units} == set(MMRAZOR_UNITS)
    assert set(analyzer.skipped) == {
        'head.mlp.1_(0, 256)_256', 'head.gau.uv_(0, 1024)_512', 'head.gau.uv_(1024, 1152)_128'}
    assert 'RTMCCBlock' in analyzer.skipped['head.gau.uv_(1024, 1152)_128']
    mutator.set_choices({name: max(1, unit.num_channels // 2) for name, unit in
                         mutator._name2unit.items() if name in MMRAZOR_UNITS})
    assert model(torch.randn(1, 3, 256, 192), None)[0].shape == (1, 17, 384)


def test_mmrazor_itself_finds_the_same_28_units_and_reaches_less():
    """Its tracer sees nothing of the head; `test_graph_models` has our share, above 99 %."""
    model = rtmpose('s')
    mutator = ChannelMutator(
        dict(type='L1MutableChannelUnit'),
        parse_cfg=dict(_scope_='mmrazor', type='ChannelAnalyzer', tracer_type='FxTracer',
                       demo_input=dict(_scope_='mmrazor', type='DefaultDemoInput',
                                       input_shape=(1, 3, 256, 192))))
    mutator.prepare_from_supernet(model)
    assert {unit.name for unit in mutator.mutable_units} == set(MMRAZOR_UNITS)
    touched = {}
    channels = [channel for unit in mutator.mutable_units
                for channel in (*unit.output_related, *unit.input_related) if channel.module]
    for channel in channels:
        for parameter in channel.module.parameters(recurse=False):
            mask = touched.setdefault(id(parameter), torch.zeros(parameter.shape))
            if channel.is_output_channel:
                mask[channel.start:channel.end] = 1
            elif parameter.dim() > 1 and parameter.shape[1] > 1:
                mask[:, channel.start:channel.end] = 1
    share = sum(mask.sum() for mask in touched.values()) / sum(
        parameter.numel() for parameter in model.parameters())
    print(f'MMRazor reaches {share:.1%} of the parameters of RTMPose-s')
    assert share == pytest.approx(0.878, abs=5e-4)


def test_a_mutator_takes_the_units_from_a_config():
    model, inputs = ResNet((1, 1), 8).eval(), torch.randn(1, 3, 32, 32)
    configs, skipped = unit_configs(analyze(model, inputs, verify=False), model)
    assert not skipped
    mutator = ChannelMutator(dict(**UNIT, units=configs), parse_cfg=dict(type='Config'))
    mutator.prepare_from_supernet(model)
    assert sorted(unit.name for unit in mutator.mutable_units) == sorted(configs)
    mutator.set_choices(dict.fromkeys(configs, 3))
    assert model(inputs).shape == (1, 10)


@pytest.mark.parametrize('indices, expected', [
    ([[0], [1], [2]], [(0, 3)]), ([[4, 5], [6, 7]], [(4, 8)]),
    ([[0, 8], [1, 9]], [(0, 2), (8, 10)]),
    ([[0], [2]], None)])
def test_spans(indices, expected):
    assert spans(torch.tensor(indices)) == expected


@pytest.mark.parametrize('dynamic, static, shape', [
    (DynamicConv1d, nn.Conv1d, (2, 4, 9)), (DynamicConv3d, nn.Conv3d, (2, 4, 5, 6, 7))])
def test_dynamic_convolutions_of_other_ranks(dynamic, static, shape):
    layer = static(4, 6, 3, padding=1)
    converted = dynamic.convert_from(layer)
    converted.load_state_dict(layer.state_dict())
    x = torch.randn(shape)
    assert torch.equal(converted(x), layer(x))
    assert type(converted.to_static_op()) is static
