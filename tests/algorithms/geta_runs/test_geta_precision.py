"""Mixed precision: bf16 through the wrapper, loss scaling over the optimizer."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmrazor.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from tiny_geta import geta, optim

from razor_ext.algorithms.geta import Stages

from .test_geta_cifar import run_joint


def test_bf16_run_meets_its_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MMEngine's wrapper asks for a GPU, though CPU autocast serves it as well."""
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    run, masked, sliced = run_joint(tmp_path, 'ResNet20', 8, 8, dict(
        type='AmpOptimWrapper', dtype='bfloat16'))
    assert int(run.optim_wrapper.optimizer.pruned.sum()) == sum(
        run.model.mutator.choice_template.values()) // 2
    assert all(p.dtype == torch.float32 for p in run.model.parameters())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(sliced(x), masked(x), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not hasattr(torch.amp, 'GradScaler'), reason='this torch scales only on CUDA')
def test_scaled_gradients_are_unscaled_and_overflows_skip_the_step() -> None:
    """A power of two as scale changes no bit; a step that overflows is not taken."""
    results = []
    for scaled in (False, True):
        torch.manual_seed(0)
        model = MODELS.build(geta(quant=None, target=dict(kind='sparsity', ratio=.5)))
        settings = optim(implementation='foreach')
        optimizer = OPTIM_WRAPPER_CONSTRUCTORS.build(dict(
            type=settings['constructor'], optim_wrapper_cfg=dict(optimizer=settings['optimizer']),
            paramwise_cfg=settings['paramwise_cfg']))(model).optimizer
        optimizer.set_plan(Stages(warmup=1, projection=0, pruning=4, pruning_periods=2).resolve(6))
        scaler = torch.amp.GradScaler('cpu', init_scale=2. ** 8, enabled=scaled)
        for step in range(7):
            overflow = scaled and step == 3
            if step == 3 and not scaled:
                continue
            generator = torch.Generator().manual_seed(step)
            optimizer.zero_grad()
            for p in model.architecture.parameters():
                grad = torch.randn(p.shape, generator=generator)
                p.grad = grad * 2. ** 8 if scaled else grad
                if overflow:
                    p.grad.fill_(float('inf'))
            scaler.scale(torch.zeros(()))
            scaler.step(optimizer)
            scaler.update(2. ** 8)
        assert optimizer.steps == 6 and optimizer.skipped_steps == 0
        results.append((optimizer.pruned, [p.clone() for p in model.architecture.parameters()]))
    (one, before), (other, after) = results
    assert one.any() and torch.equal(one, other)
    assert all(torch.equal(a, b) for a, b in zip(before, after))
