"""Two ranks that see different data share rank 0's grids and stay equal."""
from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from ranks import NO_CLOCK, run_ranks
from torch import nn

from razor_ext.quantization import (
    CalibrationHook,
    QuantConfig,
    quantize_model,
    quantizer_handles,
)

from .quant_cases import SmallNet


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = SmallNet()

    def data_preprocessor(self, batch, training):
        return {'x': batch}

    def forward(self, x, mode='loss'):
        return self.net(x)


class FakeRunner:
    """What the hook reads of a Runner."""

    def __init__(self, model, batches):
        self.model, self.train_dataloader = model, batches


def work(rank, store):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    torch.manual_seed(0)
    model = Wrapped()
    quantize_model(model, QuantConfig(weight_bits=(4, 8), activation_bits=(4, 8)))
    torch.manual_seed(rank)
    wrapped = nn.parallel.DistributedDataParallel(model)
    # Rank 1 alone would find an affine grid where rank 0 finds an unsigned one.
    batches = [torch.rand(2, 3, 8, 8) - rank for _ in range(2)]
    CalibrationHook(num_batches=2).before_train(FakeRunner(wrapped, batches))
    assert model.net.conv1.input_quantizer.scheme == 'unsigned'
    optimizer = torch.optim.AdamW(wrapped.parameters(), 1e-2)
    before = torch.cat([h.log_q_m.detach().clone() for h in quantizer_handles(model)])
    for _ in range(3):
        optimizer.zero_grad()
        wrapped(torch.rand(2, 3, 8, 8)).square().mean().backward()
        optimizer.step()
    assert not torch.equal(before, torch.cat([h.log_q_m for h in quantizer_handles(model)]))
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    both = [torch.empty_like(flat) for _ in range(2)]
    dist.all_gather(both, flat)
    assert torch.equal(*both)
    dist.destroy_process_group()


@NO_CLOCK
@pytest.mark.slow
def test_two_ranks(tmp_path):
    run_ranks(work, (str(tmp_path / 'store'),))
