"""QASSO over the package's own quantizers: a loss that passes through them."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from razor_ext.algorithms.geta import QASSO, BitRange, SparsityTarget
from razor_ext.quantization import QuantConfig, calibrate, quantize_model, quantizer_handles

from .toy import PLAN, Net, grouped


@pytest.mark.smoke
@pytest.mark.parametrize('variant', ['adamw', 'sgd'])
def test_bits_and_groups_of_a_trained_model(variant):
    torch.manual_seed(0)
    net = Net()
    quantize_model(net, QuantConfig(weight_bits=(4, 16), activation_bits=(4, 16)))
    calibrate(net, [torch.randn(4, 3, 6, 6) for _ in range(2)])
    handles = list(quantizer_handles(net))
    extra = [h.quantizer.zero_ratio for h in handles if h.quantizer.zero_ratio is not None]
    opt = QASSO(net.parameters(), groups=grouped(net), plan=PLAN, handles=handles,
                extra_scales=extra, weight_bits=BitRange(4, 8), activation_bits=BitRange(6, 8),
                target=SparsityTarget(0.5), variant=variant, lr=1e-2, lr_quant=1e-3)
    trained = [p for group in opt.param_groups for p in group['params']]
    assert len(trained) == len({id(p) for p in trained}) == len(list(net.parameters()))
    for step in range(PLAN.total):
        x, y = torch.randn(4, 3, 6, 6), torch.randint(0, 5, (4,))
        opt.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        assert loss.isfinite()
        for handle in handles:
            fewest = 4 if handle.weight is not None else 6
            bits = handle.quantizer.bits()
            ceiling = BitRange(fewest, 8).ceiling(PLAN.stair(step), PLAN.projection_periods)
            assert fewest - 1e-3 <= bits.min() and bits.max() <= ceiling + 1e-3, handle.name
    assert int((opt.index.norms() == 0).sum()) == 14
    assert all(handle.quantizer.bits().sub(opt.frozen_bits[handle.name]).abs().max() < 1e-3
               for handle in handles)
