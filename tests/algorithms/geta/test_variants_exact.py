"""With nothing pruned and no quantizer, the parameters follow torch.optim to the bit."""
from __future__ import annotations

import copy

import pytest
import torch

from razor_ext.algorithms.geta import HESSO, QASSO, SparsityTarget, StagePlan
from razor_ext.algorithms.geta.variants import descent_directions, supports_fused

from .toy import PLAN, Net, grouped, set_grads

CASES = [
    ('adamw', {'lr': 3e-3, 'weight_decay': 0.05}),
    ('adamw', {'lr': 3e-3, 'betas': (0.8, 0.95), 'eps': 1e-6}),
    ('adam', {'lr': 3e-3, 'weight_decay': 0.01}),
    ('sgd', {'lr': 0.05}),
    ('sgd', {'lr': 0.05, 'momentum': 0.9, 'weight_decay': 1e-3}),
    ('sgd', {'lr': 0.05, 'momentum': 0.9, 'dampening': 0.3}),
    ('sgd', {'lr': 0.05, 'momentum': 0.9, 'nesterov': True, 'weight_decay': 1e-3}),
    ('rmsprop', {'lr': 3e-3, 'alpha': 0.9, 'centered': True, 'weight_decay': 1e-3}),
    ('rmsprop', {'lr': 3e-3, 'momentum': 0.9, 'eps': 0.03, 'weight_decay': 1e-3}),
]
TORCH = {'adamw': torch.optim.AdamW, 'adam': torch.optim.Adam, 'sgd': torch.optim.SGD,
         'rmsprop': torch.optim.RMSprop}


@pytest.mark.smoke
@pytest.mark.parametrize(('kind', 'implementation'), [(QASSO, 'foreach'), (HESSO, 'foreach'),
                                                      (QASSO, 'fused')])
@pytest.mark.parametrize(('variant', 'options'), CASES)
def test_follows_torch_for_200_steps(kind, implementation, variant, options):
    if implementation == 'fused' and not supports_fused(TORCH[variant], torch.device('cpu')):
        pytest.skip('this torch has no fused step on a CPU')
    torch.manual_seed(1)
    ours, theirs = Net(), Net()
    theirs.load_state_dict(ours.state_dict())
    groups = lambda net: [  # noqa: E731
        {'params': [p for p in net.parameters() if p.dim() > 1]},
        {'params': [p for p in net.parameters() if p.dim() == 1], 'lr': 1e-3, 'weight_decay': 0.}]
    plan = StagePlan(200, 20, 0, 150, 1, 5)
    opt = kind(groups(ours), groups=grouped(ours), plan=plan, target=SparsityTarget(0.),
               variant=variant, implementation=implementation, **options)
    reference = TORCH[variant](groups(theirs), **{implementation: True}, **options)
    schedules = [torch.optim.lr_scheduler.ExponentialLR(o, 0.99) for o in (opt, reference)]
    for step in range(200):
        set_grads(ours, [], step)
        set_grads(theirs, [], step)
        opt.step()
        reference.step()
        for schedule in schedules:
            schedule.step()
        if step % 20 == 19:
            for (name, a), b in zip(ours.named_parameters(), theirs.parameters()):
                assert torch.equal(a, b), (step, name)


@pytest.mark.parametrize(('variant', 'options'), CASES)
def test_the_direction_is_that_of_the_step(variant, options):
    torch.manual_seed(1)
    param = torch.nn.Parameter(torch.randn(50, dtype=torch.float64))
    opt = TORCH[variant]([param], **options)
    for _ in range(3):
        param.grad = torch.randn_like(param)
        before = param.detach().clone()
        opt.step()
    direction, = descent_directions(variant, opt.param_groups, opt.state, [param], [before])
    group, = opt.param_groups
    decay = group['weight_decay'] * before if variant == 'adamw' else 0
    torch.testing.assert_close(direction, (before - param.detach()) / group['lr'] - decay)


def test_a_difference_would_be_seen():
    torch.manual_seed(1)
    ours = Net()
    theirs = copy.deepcopy(ours)
    opt = QASSO(ours.parameters(), groups=grouped(ours), plan=PLAN, target=SparsityTarget(0.5),
                variant='sgd', lr=0.05, implementation='foreach')
    reference = torch.optim.SGD(theirs.parameters(), lr=0.05, foreach=True)
    for step in range(PLAN.pruning_start + 1):
        same = all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters()))
        assert same
        set_grads(ours, [], step)
        set_grads(theirs, [], step)
        opt.step()
        reference.step()
    assert not all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters()))


@pytest.mark.parametrize(('options', 'text'), [
    ({'variant': 'lion'}, 'lion'), ({'betas': (0.9, 0.99), 'variant': 'sgd'}, 'betas'),
    ({'implementation': 'quick'}, 'quick'), ({'amsgrad': True}, 'amsgrad'),
    ({'lr': -1.}, 'learning rate'), ({'max_skipped_steps': 0}, 'max_skipped_steps'),
])
def test_bad_options_are_named(options, text):
    net = Net()
    with pytest.raises(ValueError, match=text):
        HESSO(net.parameters(), groups=grouped(net), plan=PLAN, target=SparsityTarget(0.5),
              **options)


def test_missing_stages_are_asked_for():
    opt = HESSO(Net().parameters(), groups=None, plan=None)
    for ask in (lambda: opt.stage, opt.step):
        with pytest.raises(RuntimeError, match=r'call set_plan\(\) first'):
            ask()


def test_scales_have_a_learning_rate_that_schedulers_respect():
    from .toy import make
    net, scales, opt = make()
    group = opt.param_groups[-1]
    ids = {id(p) for p in group['params']}
    assert ids == {id(s) for h in scales for s in (h.log_d, h.log_q_m, h.log_t) if s is not None}
    assert group['lr'] == 1e-2 and group['weight_decay'] == 0
    assert not ids & {id(p) for p in opt.param_groups[0]['params']}
    schedule = torch.optim.lr_scheduler.StepLR(opt, 1, 0.1)
    set_grads(net, scales, 0)
    opt.step()
    schedule.step()
    assert group['lr'] == pytest.approx(1e-3)
