"""Padding a pruned model to a divisor with MMRazor's expandable operators."""
from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

import razor_ext  # noqa: F401
from razor_ext.compat import mmrazor_expandable

pytest.importorskip('mmrazor')


class Net(nn.Sequential):
    """Convolutions around one norm of 11 channels."""

    def __init__(self, norm: type, in_channels: int = 3) -> None:
        super().__init__(nn.Conv2d(in_channels, 11, 3), norm(11), nn.ReLU(), nn.Conv2d(11, 4, 1))


PAD = f'''
from torch import nn
{inspect.getsource(Net)}
from mmrazor.models.utils.expandable_utils import make_channel_divisible
model = Net({{arguments}})
print(make_channel_divisible(model, divisor=8), model[0].out_channels)
'''
MMRAZOR = ('mmcv-ops', 'mmrazor-quantization')


def test_sync_batch_norm_fault(run_repaired):
    result = run_repaired(PAD.format(arguments='nn.SyncBatchNorm'), keep=MMRAZOR)
    assert result.stdout.strip().endswith('{} 11'), result.stderr


@pytest.mark.smoke
@pytest.mark.parametrize('norm', [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_padding_keeps_the_function(norm):
    from mmrazor.models.utils.expandable_utils import make_channel_divisible

    torch.manual_seed(0)
    model = Net(norm)
    model[1].running_mean.uniform_()
    model[1].running_var.uniform_(0.5, 2)
    nn.init.uniform_(model[1].weight)
    nn.init.uniform_(model[1].bias)
    model.eval()
    images = torch.rand(2, 3, 8, 8)
    before = model(images)
    structure = make_channel_divisible(model, divisor=8)
    assert list(structure.values()) == [16]
    assert model[0].out_channels == model[1].num_features == model[3].in_channels == 16
    assert type(model[1]) is norm
    torch.testing.assert_close(model.eval()(images), before)


def test_demo_input_fault(run_repaired):
    result = run_repaired(PAD.format(arguments='nn.BatchNorm2d, 5'), keep=MMRAZOR)
    assert result.returncode
    assert 'make_channel_divisible' in result.stderr


@pytest.mark.parametrize('as_instance', [False, True])
def test_demo_input_of_the_first_trace_is_used(as_instance):
    from mmrazor.models.mutators import ChannelMutator
    from mmrazor.models.task_modules import ChannelAnalyzer
    from mmrazor.models.utils.expandable_utils import make_channel_divisible
    from mmrazor.structures.subnet.fix_subnet import export_fix_subnet, load_fix_subnet

    model = Net(nn.BatchNorm2d, in_channels=5)
    settings = dict(demo_input=(1, 5, 16, 16), tracer_type='FxTracer')
    mutator = ChannelMutator(
        parse_cfg=ChannelAnalyzer(**settings) if as_instance
        else dict(_scope_='mmrazor', type='ChannelAnalyzer', **settings))
    mutator.prepare_from_supernet(model)
    mutator.set_choices({'0_(0, 11)_11': 5})
    load_fix_subnet(model, export_fix_subnet(model)[0])
    assert list(make_channel_divisible(model, divisor=8).values()) == [8]
    assert model[0].in_channels == 5
    assert model[0].out_channels == 8


def test_repairs_stand_back_where_upstream_is_whole(monkeypatch):
    from mmrazor.models.utils.expandable_utils import tools

    assert not mmrazor_expandable.mend_sync_batch_norm()
    monkeypatch.setattr(tools, 'to_expandable_model', lambda model, demo_input: None)
    assert not mmrazor_expandable.mend_demo_input()
