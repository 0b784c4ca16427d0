"""Bits under a budget of bit operations, and what tells where they are worth most."""
from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from razor_ext.algorithms.geta import QASSO, BitRange
from razor_ext.algorithms.geta.bit_budget import allocate, bit_operations
from razor_ext.quantization import QuantConfig, calibrate, quantize_model, quantizer_handles

from .toy import PLAN, Net

RANGES = [(4, 8), (4, 8), (2, 4), (8, 8)]


@settings(max_examples=50, deadline=None)
@given(macs=st.lists(st.integers(1, 1000), min_size=3, max_size=3), share=st.floats(0, 1),
       losses=st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=4))
def test_the_budget_is_kept_and_used(macs, share, losses):
    products = [(macs[0], 0, 1), (macs[1], 2, None), (macs[2], 3, 0)]
    least, most = (bit_operations(products, [r[end] for r in RANGES]) for end in (0, 1))
    budget = least + share * (most - least)
    bits = allocate(RANGES, products, losses, budget)
    assert all(low <= b <= high for b, (low, high) in zip(bits, RANGES))
    assert bit_operations(products, bits) <= budget * (1 + 1e-12)
    for number, (_, high) in enumerate(RANGES):  # not one bit more can be afforded
        more = [b + (i == number) for i, b in enumerate(bits)]
        assert bits[number] == high or bit_operations(products, more) > budget * (1 - 1e-12)


def test_greed_is_near_the_best_of_all_choices():
    ranges, losses = [(2, 6)] * 4, [1., 30., 4., 200.]
    products = [(100, 0, None), (300, 1, None), (50, 2, None), (200, 3, None)]
    budget = bit_operations(products, [4] * 4)

    def loss(bits):
        return sum(x * 4. ** -b for x, b in zip(losses, bits))

    best = min((bits for bits in itertools.product(range(2, 7), repeat=4)
                if bit_operations(products, bits) <= budget), key=loss)
    found = allocate(ranges, products, losses, budget)
    assert loss(found) <= 1.2 * loss(best) < loss([4] * 4)


def test_a_budget_below_the_fewest_bits_is_refused():
    with pytest.raises(ValueError, match='fewest'):
        allocate([(4, 8)], [(10, 0, None)], [1.], 10 * 32 * 3.9)


@pytest.mark.parametrize('granularity', ['tensor', 'channel'])
def test_losses_are_what_the_rounding_of_each_tensor_changes(granularity):
    """Against the products of gradient and rounding error, computed outside."""
    torch.manual_seed(0)
    net, x, y = Net().eval(), torch.randn(16, 3, 6, 6), torch.randint(0, 5, (16,))
    quantize_model(net, QuantConfig(weight_bits=(4, 4), activation_bits=(4, 4), weight_power=False,
                                    weight_granularity=granularity))
    calibrate(net, [x], method='minmax')
    handles = list(quantizer_handles(net))
    extra = [h.quantizer.zero_ratio for h in handles if h.quantizer.zero_ratio is not None]
    opt = QASSO(net.parameters(), groups=None, plan=PLAN, handles=handles, extra_scales=extra,
                weight_bits=BitRange(4, 4, 4), activation_bits=BitRange(4, 4, 4), lr=0.,
                lr_quant=0., choose_bits=lambda losses: [4] * len(losses))
    errors, changes = {}, {}

    def watch(module, inputs, output):
        x, name = inputs[0], module.name
        if output.requires_grad:
            errors[name] = (output - x).detach()
            assert (errors[name].abs() < module.d * 0.501).all()  # nothing is clipped
            output.register_hook(lambda grad: changes.update(
                {name: float((grad.double() * errors[name]).sum())}))

    for handle in handles:
        handle.quantizer.register_forward_hook(watch)
        with torch.no_grad():  # room for what the rounding of earlier layers changes
            handle.quantizer.log_q_m.add_(0.3)
            handle.quantizer.log_d.add_(0.3)
    nn.functional.cross_entropy(net(x), y).backward()
    opt.step()
    expected = [changes[handle.quantizer.name] ** 2 * 4. ** 4 for handle in handles]
    torch.testing.assert_close(opt._losses.mean, torch.tensor(expected).double(), rtol=1e-3,
                               atol=1e-9)


def test_resuming_keeps_them():
    torch.manual_seed(0)
    net = Net()
    quantize_model(net, QuantConfig(weight_bits=(4, 8), activation_bits=(4, 8)))
    calibrate(net, [torch.randn(16, 3, 6, 6)])
    seen = []

    def optimizer():
        handles = list(quantizer_handles(net))
        extra = [h.quantizer.zero_ratio for h in handles if h.quantizer.zero_ratio is not None]
        return QASSO(net.parameters(), groups=None, plan=PLAN, handles=handles, lr=1e-3,
                     extra_scales=extra, choose_bits=lambda losses: seen.append(losses) or
                     [5] * len(losses))

    opt = optimizer()
    for step in range(PLAN.pruning_stop + 1):
        if step == 20:
            state, opt = opt.state_dict(), optimizer()
            opt.set_plan(PLAN)
            opt.load_state_dict(state)
            assert torch.equal(opt._losses.mean, state['compression']['rounding_losses'])
        opt.zero_grad()
        nn.functional.cross_entropy(net(torch.randn(8, 3, 6, 6)),
                                    torch.randint(0, 5, (8,))).backward()
        opt.step()
    assert len(seen) == 1 and all(loss > 0 for loss in seen[0])
    assert set(opt.frozen_bits.values()) == {5}
