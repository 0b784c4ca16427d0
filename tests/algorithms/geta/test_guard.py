"""Gradients that are not finite."""
from __future__ import annotations

import copy

import pytest
import torch

from razor_ext.algorithms.geta.variants import supports_fused
from razor_ext.engine.finite import FiniteGuard

from .toy import PLAN, make, set_grads


def spoil(net, value):
    net.conv10.weight.grad[3, 2, 1, 0] = value


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('implementation', ['foreach', 'fused'])
def test_a_bad_step_changes_neither_parameters_nor_moments(value, implementation):
    if implementation == 'fused' and not supports_fused(torch.optim.AdamW, torch.device('cpu')):
        pytest.skip('this torch has no fused step on a CPU')
    net, scales, opt = make(implementation=implementation)
    for step in range(3):
        set_grads(net, scales, step)
        opt.step()
    before = copy.deepcopy([p.detach() for p in net.parameters()])
    moments = copy.deepcopy(opt.state_dict()['state'])
    set_grads(net, scales, 3)
    spoil(net, value)
    opt.step()
    assert opt.skipped_steps == 1 and opt.steps == 4
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters()))
    for key, state in opt.state_dict()['state'].items():
        assert all(torch.equal(state[k], moments[key][k]) for k in state)
    set_grads(net, scales, 4)
    opt.step()
    assert not all(torch.equal(a, b) for a, b in zip(before, net.parameters()))


def test_large_gradients_are_finite():
    """Their squares are not; the direction of Adam is one of ratios."""
    guard = FiniteGuard(torch.device('cpu'), 50)
    small, large = torch.full((3,), 1e30), torch.full((5000,), -3e38)
    assert guard.check([small, large])
    assert not guard.check([small, large, torch.tensor([float('nan')])])
    assert guard.check([small.half().clamp(max=6e4)])
    assert int(guard.total) == 1


@pytest.mark.parametrize('kind', ['qasso', 'hesso'])
@pytest.mark.parametrize('variant', ['sgd', 'adamw'])
def test_the_schedule_survives_bad_steps(kind, variant):
    """Also where a period opens or closes with one, or the run begins with one."""
    net, scales, opt = make(kind, variant=variant)
    bad = {0, 1, 6, 17, 20, 26, 27, 46, 47}
    for step in range(PLAN.total):
        set_grads(net, scales, step)
        if step in bad:
            spoil(net, float('nan'))
        opt.step()
        assert all(p.isfinite().all() for p in net.parameters())
        for item in scales:
            assert item.bits().isfinite().all()
    assert opt.skipped_steps == len(bad)
    assert int((opt.index.norms() == 0).sum()) == 14


def test_persistent_faults_stop_the_run():
    net, scales, opt = make(max_skipped_steps=3)
    for step in range(7):
        set_grads(net, scales, step)
        if step not in (2, 5):
            spoil(net, float('nan'))
        opt.step()
    for step in (7, 8):
        set_grads(net, scales, step)
        spoil(net, float('nan'))
        if step == 7:
            opt.step()
    with pytest.raises(RuntimeError, match=r'3 consecutive steps \(7 in all\)'):
        opt.step()


@pytest.mark.slow  # Dynamo traces a minute
def test_a_compiled_training_step_takes_the_same_steps():
    """MMEngine's `compile` puts a step of training into one function, the optimizer in it."""
    weights = []
    for compiled in (False, True):
        net, scales, opt = make(variant='adamw')

        def train_step(step, net=net, scales=scales, opt=opt):
            set_grads(net, scales, step)
            opt.step()

        if compiled:
            train_step = torch.compile(train_step, backend='eager')
        for step in range(PLAN.pruning_start + 12):
            train_step(step)
        weights.append([p.detach() for p in net.parameters()])
    for plain, compiled in zip(*weights):
        torch.testing.assert_close(plain, compiled)
