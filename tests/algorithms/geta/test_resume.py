"""Kill anywhere, resume: the same bits as without interruption."""
from __future__ import annotations

import io

import pytest
import torch

from .toy import PLAN, make, set_grads


def snapshot(net, scales, opt):
    tensors = {f'model.{k}': v for k, v in net.state_dict().items()}
    for item in scales:
        for kind in ('log_d', 'log_q_m', 'log_t'):
            if getattr(item, kind) is not None:
                tensors[f'{item.name}.{kind}'] = getattr(item, kind).detach()
    state = {k: v.clone() for k, v in tensors.items()}
    buffer = io.BytesIO()
    torch.save({'model': state, 'optimizer': opt.state_dict()}, buffer)
    buffer.seek(0)
    return buffer


def restore(buffer, kind, variant):
    saved = torch.load(buffer, weights_only=True)
    net, scales, opt = make(kind, seed=99, variant=variant)  # other weights, to be overwritten
    with torch.no_grad():
        net.load_state_dict({k[6:]: v for k, v in saved['model'].items()
                             if k.startswith('model.')})
        for item in scales:
            for name in ('log_d', 'log_q_m', 'log_t'):
                if getattr(item, name) is not None:
                    getattr(item, name).copy_(saved['model'][f'{item.name}.{name}'])
    opt.load_state_dict(saved['optimizer'])
    return net, scales, opt


def assert_same(left, right):
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for a, b in zip(left, right):
            assert_same(a, b)
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    else:
        assert left == right


def train(net, scales, opt, start, stop):
    for step in range(start, stop):
        set_grads(net, scales, step)
        if step == 20:
            net.fc.weight.grad[0, 0] = float('nan')
        opt.step()


# In and at the edges of every stage and period, and while a step had been skipped.
KILLS = (1, 5, 6, 9, 16, 17, 18, 21, 26, 27, 31, 46, 47, 48, 59)


@pytest.mark.smoke
@pytest.mark.parametrize(('kind', 'variant'), [('qasso', 'adamw'), ('qasso', 'sgd'),
                                               ('hesso', 'adam')])
def test_resumed_equals_uninterrupted(kind, variant):
    net, scales, opt = make(kind, variant=variant)
    saved, at = {}, 0
    for kill in KILLS:
        train(net, scales, opt, at, kill)
        saved[kill], at = snapshot(net, scales, opt), kill
    train(net, scales, opt, at, PLAN.total)
    end = torch.load(snapshot(net, scales, opt), weights_only=True)
    assert opt.skipped_steps == 1
    for kill, buffer in saved.items():
        run = restore(buffer, kind, variant)
        train(*run, kill, PLAN.total)
        assert_same(torch.load(snapshot(*run), weights_only=True), end)


def test_states_of_something_else_are_refused():
    _, _, opt = make()
    state = opt.state_dict()
    with pytest.raises(ValueError, match="no entry 'compression'"):
        opt.load_state_dict({k: v for k, v in state.items() if k != 'compression'})
    other = make('hesso')[2]
    with pytest.raises(ValueError, match='other quantizers'):
        opt.load_state_dict(other.state_dict())
    from dataclasses import replace
    longer = make(plan=replace(PLAN, total=70))[2]
    with pytest.raises(ValueError, match='another plan'):
        longer.load_state_dict(state)
    with pytest.raises(ValueError, match='another variant'):
        make(variant='sgd')[2].load_state_dict(state)


def test_a_resumed_state_differs_between_steps():
    net, scales, opt = make()
    train(net, scales, opt, 0, 30)
    first = opt.state_dict()['compression']['status'].clone()
    train(net, scales, opt, 30, 40)
    assert not torch.equal(first, opt.state_dict()['compression']['status'])
