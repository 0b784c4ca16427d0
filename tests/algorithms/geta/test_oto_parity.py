"""The published HESSO as an oracle: scores, counts and zeroed groups on the same groups."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from razor_ext.algorithms.geta import HESSO, Saliency, SparsityTarget, StagePlan
from razor_ext.algorithms.geta.oto_backend import build_oto_optimizer, param_groups
from razor_ext.algorithms.geta.saliency import PUBLISHED
from razor_ext.pruning import ChannelIndex, Chooser

from .cifar_nets import VGG7, HandMember, HandUnit, ResNet20, unit
from .toy import Net, grouped

NETS = {'resnet20': ResNet20, 'vgg7': VGG7}


def two(net_type, seed=0):
    torch.manual_seed(seed)
    ours = net_type()
    # Spread the norms inside each unit: the oracle misses its count where a unit would be emptied.
    with torch.no_grad():
        for module in ours.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.Linear)):
                module.bias.copy_(torch.rand_like(module.bias).mul(6).sub(3).exp())
    theirs = net_type()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def set_grads(net, step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(4, 3, 16, 16, generator=generator)
    y = torch.randint(0, 10, (4,), generator=generator)
    net.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(net(x), y).backward()


def zeroed(index):
    return (index.norms() == 0).nonzero().flatten().tolist()


@pytest.mark.parametrize('name', NETS)
@pytest.mark.parametrize('options', [
    {'variant': 'sgd', 'weight_decay': 1e-3}, {'variant': 'sgd', 'first_momentum': 0.9}])
def test_scores_count_and_zeroed_groups_of_a_run(name, options):
    """One period: the trajectories are the same until it opens, and the same rows die."""
    ours, theirs = two(NETS[name])
    index, other = grouped(ours), grouped(theirs)
    translated = {'momentum': options.get('first_momentum', 0.),
                  'weight_decay': options.get('weight_decay', 0.)}
    plan = StagePlan(12, 3, 0, 4, 1, 1)
    opt = HESSO(ours.parameters(), groups=index, plan=plan,
                target=SparsityTarget(0.5, per_unit=False),
                saliency=Saliency(PUBLISHED), variant='sgd', lr=0.01, **translated)
    oracle = build_oto_optimizer(
        'hesso', other, theirs.named_parameters(), lr=0.01, target_group_sparsity=0.5,
        start_pruning_step=3, pruning_periods=1, pruning_steps=4, **options)
    for step in range(7):
        set_grads(ours, step)
        set_grads(theirs, step)
        opt.step()
        oracle.step()
        if step == 3:  # the period has opened
            expected = torch.cat([s.detach() for s in oracle.global_scores])
            torch.testing.assert_close(opt.scores, expected, rtol=1e-4, atol=1e-7)
            chosen = [start + i for start, group in zip(other.starts, oracle.param_groups)
                      for i in sorted(oracle.active_redundant_idxes[group['id']])]
            assert (opt._status == 1).nonzero().flatten().tolist() == chosen
    total = {'resnet20': 224, 'vgg7': 1408}[name]
    assert opt.target.total == oracle.target_num_redundant_groups == total
    assert zeroed(index) == zeroed(other)
    assert len(zeroed(index)) == total


@pytest.mark.parametrize('name', NETS)
def test_scores_of_every_period_with_adam(name):
    """Later periods, scored on the oracle's own parameters and directions, choose the same rows."""
    _, theirs = two(NETS[name], seed=1)
    index = grouped(theirs)
    oracle = build_oto_optimizer(
        'hesso', index, theirs.named_parameters(), lr=1e-3, variant='adam',
        target_group_sparsity=0.4, start_pruning_step=2, pruning_periods=3, pruning_steps=6)
    chooser = Chooser(index.unit_names, index.sizes)
    target = SparsityTarget(0.4, per_unit=False)
    target.prepare(chooser)
    periods = []
    identify = oracle.identify_redundant_groups

    def compare():
        directions = {n: v for g in oracle.param_groups for n, v in g['grad_variant'].items()}
        scores = Saliency(PUBLISHED)(index, [p.detach() for p in index.params],
                            [directions[e.name] for e in index.entries])
        torch.testing.assert_close(scores, torch.cat([s.detach() for s in oracle.global_scores]),
                                   rtol=1e-4, atol=1e-7)
        pruned = torch.zeros(index.total, dtype=torch.bool)
        pruned[list(map(int, oracle.pruned_group_idxes))] = True
        chosen = target.choose(chooser, scores.double().numpy(), pruned.numpy(), len(periods), 3)
        before = set(map(int, oracle.pruned_group_idxes))
        identify()
        new = sorted(set(map(int, oracle.pruned_group_idxes)) - before)
        periods.append((chosen.nonzero()[0].tolist(), new))

    oracle.identify_redundant_groups = compare
    for step in range(9):
        set_grads(theirs, step)
        oracle.step()
    assert len(periods) == 3
    assert [len(ours) for ours, _ in periods] == [len(new) for _, new in periods]
    for ours, new in periods:
        assert ours == new
    assert len(zeroed(index)) == int(0.4 * index.total)


class QuantConv(nn.Conv2d):
    """A convolution with GETA's scalars, quantized as published."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        q_m = self.weight.detach().abs().max().view(1)
        self.d_quant_wt = nn.Parameter(q_m / (2 ** 15 - 1))
        self.q_m_wt, self.t_quant_wt = nn.Parameter(q_m), nn.Parameter(torch.ones(1))

    def forward(self, x):
        clipped = self.weight.sign() * torch.minimum(self.weight.abs(), self.q_m_wt).pow(
            self.t_quant_wt)
        steps = clipped / self.d_quant_wt
        weight = self.d_quant_wt * (steps + (steps.round() - steps).detach())
        return self._conv_forward(x, weight, self.bias)


class QuantNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = QuantConv(3, 12, 3), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = QuantConv(12, 16, 3), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        return self.fc(x.mean((2, 3)))

    def units(self):
        return [unit(f'conv{i}', n, f'conv{i}.weight', f'conv{i}.bias', f'bn{i}.weight',
                     f'bn{i}.bias') for i, n in ((1, 12), (2, 16))]


def test_scales_ride_with_their_layer():
    net = QuantNet()
    groups = param_groups(grouped(net), net.named_parameters())
    names = [set(group['p_names']) for group in groups]
    assert {'conv1.weight', 'conv1.d_quant_wt', 'conv1.q_m_wt', 'conv1.t_quant_wt'} <= names[0]
    assert names[2] == {'fc.weight', 'fc.bias'}
    assert sum(len(n) for n in names) == len(list(net.parameters()))


@pytest.mark.skipif('GETA_CLONE' not in os.environ, reason='GETA_CLONE: folder of a clone of GETA')
def test_geta_of_a_clone_reaches_the_target(tmp_path):
    """In a process of its own: the installed package may be loaded in this one."""
    code = (f'import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n'
            'from tests.algorithms.geta import test_oto_parity as t\n'
            'net = t.QuantNet(); index = t.grouped(net)\n'
            f"opt = t.build_oto_optimizer('geta', index, net.named_parameters(), lr=0.01, "
            f"clone={os.environ['GETA_CLONE']!r}, projection_steps=4, projection_periods=2, "
            f"start_pruning_step=4, pruning_steps=6, pruning_periods=2, "
            f"log_dir={str(tmp_path)!r})\n"
            'for step in range(14):\n    t.set_grads(net, step); opt.step()\n'
            'print("zero", len(t.zeroed(index)))\n')
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'zero 14' in done.stdout


def test_the_backend_names_what_it_cannot_do(tmp_path):
    net = Net()
    index = grouped(net)
    names = dict(net.named_parameters())
    with pytest.raises(ValueError, match='clone='):
        build_oto_optimizer('geta', index, names)
    with pytest.raises(ValueError, match='no clone of GETA'):
        build_oto_optimizer('geta', index, names, clone=tmp_path)
    with pytest.raises(ValueError, match='dhspg'):
        build_oto_optimizer('dhspg', index, names)
    half = HandUnit('half', 6, (HandMember('conv1.weight', 0, torch.arange(6).view(6, 1), 'out'),))
    with pytest.raises(ValueError, match='cannot be expressed'):
        build_oto_optimizer('hesso', ChannelIndex([half], names), names)
    optimizer = build_oto_optimizer('hesso', index, names, lr=0.1, pruning_steps=4)
    with pytest.raises(ValueError, match='cannot be resumed'):
        optimizer.load_state_dict({})
