"""What must hold after every step of a run."""
from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from razor_ext.algorithms.geta import CostTarget, ForgetRule, Saliency, SparsityTarget, StagePlan
from razor_ext.algorithms.geta.saliency import PUBLISHED

from .toy import PLAN, make, set_grads


def zero_groups(opt):
    return opt.index.norms() == 0


def allowed_bits(opt, item, step):
    bits = opt.bank.ranges[opt.bank.handles.index(item)]
    return bits.min_bits, bits.ceiling(opt.plan.stair(step), opt.plan.projection_periods)


@pytest.mark.smoke
@settings(max_examples=12, deadline=None)
@given(kind=st.sampled_from(['qasso', 'hesso']), ratio=st.sampled_from([0.25, 0.5, 0.8]),
       divisor=st.sampled_from([1, 2, 4, {'conv10': 4}]), seed=st.integers(0, 99),
       variant=st.sampled_from(['adamw', 'adam', 'sgd', 'rmsprop']),
       periods=st.sampled_from([1, 3, 5]), forced=st.sampled_from([0., 0.5, 1.]))
def test_every_step_of_a_run(kind, ratio, divisor, seed, variant, periods, forced):
    plan = StagePlan(40, 4, 8, 20, 4, periods)
    options = {'rule': ForgetRule(forced=forced)} if kind == 'qasso' else {}
    net, scales, opt = make(kind, seed=seed, plan=plan, divisor=divisor, variant=variant, lr=3e-3,
                            target=SparsityTarget(ratio, 'nearest'), **options)
    was = zero_groups(opt)
    for step in range(plan.total):
        set_grads(net, scales, step, seed)
        opt.step()
        assert all(p.isfinite().all() for p in net.parameters())
        now = zero_groups(opt)
        assert not (was & ~now).any(), 'a mask grew back'
        was = now
        for item in scales:
            low, high = allowed_bits(opt, item, step)
            bits = item.bits()
            assert low - 1e-3 <= bits.min() and bits.max() <= high + 1e-3, (item.name, step)
            if plan.stage(step) == 'cooldown':
                assert (bits - bits.round()).abs().max() < 1e-3
                assert bits.round().unique().tolist() == [opt.frozen_bits[item.name]]
    assert int(was.sum()) == opt.target.total
    assert torch.equal(was, opt.pruned)
    if divisor == 1:
        assert opt.target.total == int(28 * ratio)
    for name, mask in opt.keep_masks().items():
        step_size = divisor if isinstance(divisor, int) else divisor.get(name, 1)
        assert int(mask.sum()) % step_size == 0 or mask.all()


def test_cost_target_is_met():
    def macs(keep):
        return 27. * keep['conv1'] + 10 * keep['conv1'] * keep['conv10']
    net, scales, opt = make(target=CostTarget(0.4, macs), divisor=2)
    for step in range(PLAN.total):
        set_grads(net, scales, step)
        opt.step()
    kept = opt.chooser.structure(opt.pruned.numpy())
    assert macs(kept) <= 0.4 * macs({'conv1': 12, 'conv10': 16})
    assert int(zero_groups(opt).sum()) == int(np.sum(opt.pruned.numpy()))


@pytest.mark.parametrize('kind', ['qasso', 'hesso'])
def test_active_groups_shrink_and_others_follow_the_plain_optimizer(kind):
    """Where the rate is forced, one step multiplies active rows of every kind of parameter."""
    plan = StagePlan(40, 0, 4, 30, 2, 1)
    net, scales, opt = make(kind, plan=plan, variant='sgd', lr=0.)
    for group in opt.param_groups:
        group['lr'] = 0.
    for step in range(plan.pruning_start):
        set_grads(net, scales, step)
        opt.step()
    start = copy.deepcopy([p.detach() for p in opt.index.params])
    for step in range(plan.pruning_start, plan.pruning_stop - 1):
        set_grads(net, scales, step)
        opt.step()
    active = (opt._status == 1).cpu()
    assert int(active.sum()) == 14
    ratio = opt.index.norms() / opt.index.norms(start)
    assert (ratio[active] < 0.25).all() and (ratio[active] > 0).all()
    assert torch.equal(ratio[~active], torch.ones(14))


def test_forgetting_keeps_descent_where_it_is_not_forced():
    rule = ForgetRule(eta=0.9, forced=0.)
    torch.manual_seed(0)
    for _ in range(200):
        c, s, r = torch.randn(3, 50).double()
        d_fine, d_coarse = 0.01, 0.3
        product, step_sq = c @ s, s @ s
        gamma = rule.rates(c.norm(), product, step_sq, 10, False)
        gamma, log_d = rule.step_sizes(gamma, r @ s, step_sq, torch.tensor(d_fine).double().log(),
                                       torch.tensor(d_coarse).double().log(), False)
        d = log_d.exp()
        assert d_fine * 0.999 <= d <= d_coarse * 1.001
        assert 0 <= gamma <= 0.1 + 1e-9
        # f falls by <s, s + gamma (c + d r)> / lr to first order.
        left = step_sq + gamma * (product + d * (r @ s))
        assert left >= (rule.eta - rule.xi * rule.eta - 1e-6) * step_sq


def test_cosine_switch_changes_order_only_through_its_term():
    net, _, opt = make('hesso')
    set_grads(net, [], 0)
    values = [p.detach() for p in opt.index.params]
    grads = [p.grad for p in opt.index.params]
    raw = {sign: Saliency(PUBLISHED, cosine=sign).raw(opt.index, values, grads)
           for sign in ('reference', 'descent')}
    torch.testing.assert_close(raw['reference']['cosine_similarity'] - 1,
                               1 - raw['descent']['cosine_similarity'])
    assert torch.equal(raw['reference']['magnitude'], raw['descent']['magnitude'])


@pytest.mark.parametrize(('arguments', 'text'), [
    ({'weights': {'magnitud': 1.}}, 'magnitud'), ({'weights': {'magnitude': -1.}}, 'negative'),
    ({'weights': {}}, 'positive'), ({'cosine': 'up'}, 'up')])
def test_faulty_saliency_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        Saliency(**arguments)


@pytest.mark.parametrize('arguments', [{'eta': 0.}, {'xi': 1.5}, {'forced': -0.1}])
def test_faulty_rule_is_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ForgetRule(**arguments)
