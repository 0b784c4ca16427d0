"""Fisher statistics against per-sample gradients of explicit channel masks."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmrazor.models.mutables import SimpleMutableChannel
from mmrazor.models.mutables.mutable_channel.units.channel_unit import Channel
from mmrazor.registry import MODELS
from tiny_pose import batch, group_fisher
from torch import nn

from razor_ext.algorithms.group_fisher_mmrazor.ops import GroupFisherConv2d, GroupFisherLinear
from razor_ext.algorithms.group_fisher_mmrazor.unit import GroupFisherChannelUnit


class TwoBranches(nn.Module):
    """Two convolutions whose concatenation feeds a third: each branch is a unit."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 6, 3)
        self.join = nn.Conv2d(10, 2, 3)

    def forward(self, x: torch.Tensor, masks: tuple | None = None) -> torch.Tensor:
        left, right = self.left(x), self.right(x)
        if masks is not None:
            left, right = left * masks[0][..., None, None], right * masks[1][..., None, None]
        return self.join(torch.cat([left, right], 1)).flatten(1).sigmoid().mean(1)


def _units(model: TwoBranches) -> list[GroupFisherChannelUnit]:
    units = []
    for name, width, span in (('left', 4, (0, 4)), ('right', 6, (4, 10))):
        unit = GroupFisherChannelUnit(width)
        unit.add_output_related(Channel(name, getattr(model, name), (0, width)))
        unit.add_input_related(Channel('join', model.join, span, is_output_channel=False))
        units.append(unit)
    for unit in units:
        unit.prepare_for_pruning(model)
    return units


@pytest.mark.smoke
def test_concatenated_input_gives_each_unit_its_own_columns() -> None:
    """Upstream reads the first columns of the concatenation for every unit."""
    model = TwoBranches().double()
    reference = TwoBranches().double()
    reference.load_state_dict(model.state_dict())
    x = torch.randn(3, 3, 9, 9, dtype=torch.float64)
    units = _units(model)
    for unit in units:
        for layer in unit.input_related_dynamic_ops:
            layer.start_record()
    model(x).sum().backward()
    masks = tuple(torch.ones(3, width, dtype=torch.float64, requires_grad=True)
                  for width in (4, 6))
    expected = torch.autograd.grad(reference(x, masks).sum(), masks)
    for unit, grad in zip(units, expected):
        torch.testing.assert_close(unit.batch_fisher(3), grad.square().sum(0).float())


def test_pruned_channels_keep_the_columns_aligned() -> None:
    """After pruning, what is left of each unit still reads its own gradient."""
    model = TwoBranches()
    units = _units(model)
    units[0].mutable_channel.mask[1] = 0
    units[1].mutable_channel.mask[3] = 0
    x = torch.randn(2, 3, 9, 9)
    for unit in units:
        for layer in unit.input_related_dynamic_ops:
            layer.start_record()
    model(x).sum().backward()
    dense = TwoBranches()
    dense.load_state_dict({key: value for key, value in model.state_dict().items()
                           if 'mutable' not in key})
    masks = (torch.ones(2, 4), torch.ones(2, 6))
    masks[0][:, 1], masks[1][:, 3] = 0, 0
    for mask in masks:
        mask.requires_grad_()
    expected = torch.autograd.grad(dense(x, masks).sum(), masks)
    for unit, grad, gone in zip(units, expected, (1, 3)):
        info = unit.batch_fisher(2)
        assert info[gone] == 0
        keep = torch.arange(len(info)) != gone
        torch.testing.assert_close(info[keep], grad.square().sum(0)[keep])


def test_rows_folded_into_the_batch_are_summed_per_sample() -> None:
    """Frames of one sequence add up before they are squared."""
    model = TwoBranches()
    unit = _units(model)[0]
    layer = next(iter(unit.input_related_dynamic_ops))
    layer.fisher = torch.randn(6, 10)
    info = unit.batch_fisher(num_samples=2)
    expected = layer.fisher[:, :4].reshape(2, 3, 4).sum(1).square().sum(0)
    torch.testing.assert_close(info, expected)


def test_linear_statistics_equal_the_gradient_formula() -> None:
    """Upstream's hook hands the bias gradient to a linear layer and crashes."""
    layer = GroupFisherLinear.convert_from(nn.Linear(5, 3))
    layer.start_record()
    x = torch.randn(4, 7, 5, requires_grad=True)
    layer(x).square().sum().backward()
    torch.testing.assert_close(layer.fisher, (x * x.grad).sum(1))


def test_conversion_keeps_the_weights() -> None:
    """MMRazor's conversion forgets them."""
    conv = nn.Conv2d(3, 4, 3)
    conv.weight.requires_grad_(False)
    twin = GroupFisherConv2d.convert_from(conv)
    x = torch.randn(1, 3, 5, 5)
    torch.testing.assert_close(twin(x), F.conv2d(x, conv.weight, conv.bias))
    assert twin.weight is conv.weight and not twin.weight.requires_grad


def test_half_precision_statistics_do_not_overflow() -> None:
    """Products that leave float16's range are formed in float32."""
    layer = GroupFisherLinear.convert_from(nn.Linear(2, 2).half())
    layer.add_fisher(torch.full((1, 2), 300., dtype=torch.float16),
                     torch.full((1, 2), 300., dtype=torch.float16))
    assert layer.fisher.dtype == torch.float32
    assert torch.isfinite(layer.fisher).all()


def test_loss_scale_cancels() -> None:
    """Importances are the same whatever factor mixed precision puts on the loss."""
    algorithm = MODELS.build(group_fisher())
    algorithm.measure_resource()
    mutator, data = algorithm.mutator, algorithm.data_preprocessor(batch(0, 2), True)
    seen = []
    for scale in (1.0, 1024.0):
        mutator.reset_imp()
        mutator.start_record_info()
        losses = algorithm(**data, mode='loss')
        (losses['loss_kpt'] * scale).backward()
        mutator.end_record_info()
        mutator.update_imp(2, scale)
        seen.append([unit.normalized_fisher_info.clone() for unit in mutator.mutable_units])
    for one, other in zip(*seen):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-12)


def test_overflowed_step_leaves_the_statistics_alone() -> None:
    """A step that the loss scaler drops adds nothing."""
    algorithm = MODELS.build(group_fisher())
    algorithm.measure_resource()
    mutator = algorithm.mutator
    for unit in mutator.mutable_units:
        for layer in unit.input_related_dynamic_ops:
            width = layer.get_mutable_attr('in_channels').current_mask.numel()
            layer.fisher = torch.full((1, width), float('inf'))
    mutator.update_imp(1)
    assert all(unit.normalized_fisher_info.eq(0).all() for unit in mutator.mutable_units)


def test_masks_are_ordinary_state() -> None:
    """A structure survives state_dict and load_state_dict, caches included."""
    algorithm, other = MODELS.build(group_fisher()), MODELS.build(group_fisher())
    unit = algorithm.mutator.mutable_units[0]
    assert isinstance(unit.mutable_channel, SimpleMutableChannel)
    x = torch.rand(1, 3, 64, 64)
    algorithm.eval(), other.eval()
    other(x)
    unit.mutable_channel.mask[0] = 0
    other.load_state_dict(algorithm.state_dict())
    for one, two in zip(algorithm(x), other(x)):
        torch.testing.assert_close(one, two)
