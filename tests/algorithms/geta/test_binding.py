"""Step sizes at a bound: their gradients train the range."""
from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from razor_ext.algorithms.geta import QASSO, BitRange, StagePlan
from razor_ext.quantization import (
    QuantConfig,
    calibrate,
    fix_bits,
    quantize_model,
    quantizer_handles,
    split_scales,
)

from .toy import PLAN, Net, make, set_grads

#: Final bits from the first step on.
FIXED = StagePlan(total=40, warmup=0, projection=0, pruning=0, projection_periods=1,
                  pruning_periods=1)


def quantized(granularity: str) -> Net:
    torch.manual_seed(0)
    net = Net()
    quantize_model(net, QuantConfig(weight_bits=(3, 3), activation_bits=(3, 3),
                                    weight_granularity=granularity))
    calibrate(net, [torch.randn(4, 3, 6, 6) for _ in range(2)])
    return net


def train(net: Net, opt: torch.optim.Optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = torch.randn(8, 3, 6, 6, generator=generator)
        y = torch.randint(0, 5, (8,), generator=generator)
        opt.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        opt.step()


@pytest.mark.smoke
@pytest.mark.parametrize('granularity', ['tensor', 'channel'])
def test_ranges_learn_as_where_finetuning_has_fixed_the_bits(granularity):
    """A bound of one width is what `fix_bits` makes of a quantizer: d follows q_m and t."""
    joint, finetuned = quantized(granularity), quantized(granularity)
    fix_bits(finetuned)
    handles = list(quantizer_handles(joint))
    extra = [h.quantizer.zero_ratio for h in handles if h.quantizer.zero_ratio is not None]
    start = copy.deepcopy(joint.state_dict())
    opt = QASSO(joint.parameters(), groups=None, plan=FIXED, handles=handles, extra_scales=extra,
                weight_bits=BitRange(3, 3), activation_bits=BitRange(3, 3), variant='adamw',
                lr=1e-2, lr_quant=1e-2, weight_decay=0., implementation='foreach')
    scales = [p for h in quantizer_handles(finetuned) for p in h.quantizer.parameters()]
    plain = torch.optim.AdamW(split_scales(finetuned.parameters(), scales, 1e-2), lr=1e-2,
                              weight_decay=0., foreach=True)
    # Adam makes whole steps of the rounding errors in gradients of 0 (biases in front of batch
    # norms), which then grow: a few steps are compared.
    train(joint, opt, 2)
    train(finetuned, plain, 2)
    moved = 0
    for name, value in finetuned.named_parameters():
        if 'quantizer' in name and not name.endswith('log_d'):  # of a fixed width, which none reads
            torch.testing.assert_close(joint.get_parameter(name), value, atol=1e-3, rtol=1e-3)
            moved += name.endswith('log_q_m') and not torch.equal(value, start[name])
    assert moved == len(handles)
    for handle in handles:
        assert handle.quantizer.bits().item() == pytest.approx(3, abs=1e-4)


@pytest.mark.parametrize('stage', [0, PLAN.pruning_start - 1, PLAN.pruning_stop + 1])
def test_the_gradient_of_every_step_size_counts(stage):
    """In warm-up, at the end of projection, and where the widths are fixed."""
    results = []
    for factor in (1., -3.):
        net, scales, opt = make(variant='sgd')
        for step in range(stage + 1):
            set_grads(net, scales, step)
            if step == stage:
                for item in scales:
                    item.log_d.grad.mul_(factor)
            opt.step()
        results.append([(item.log_d.detach(), item.log_q_m.detach()) for item in scales])
    for item, one, other in zip(scales, *results):
        assert not torch.equal(one[0], other[0]) or not torch.equal(one[1], other[1]), item.name


def test_a_step_size_pulled_inside_moves_alone():
    net, scales, opt = make(variant='sgd')
    set_grads(net, scales, 0)
    for item in scales:
        for scale in (item.log_q_m, item.log_t):
            if scale is not None:
                scale.grad.zero_()
        item.log_d.grad.fill_(-5.)  # from the ceiling, to fewer bits
    before = copy.deepcopy(scales)
    opt.step()
    at_ceiling = [(was, item) for was, item, bits in zip(before, scales, opt.bank.ranges)
                  if (was.bits() - bits.start_bits).abs().max() < 1e-3]
    assert at_ceiling
    for was, item in at_ceiling:
        torch.testing.assert_close(item.log_d, was.log_d + 5e-2)
        assert torch.equal(item.log_q_m, was.log_q_m)
