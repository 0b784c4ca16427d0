"""The flat index against a loop over channels, and what it refuses."""
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from razor_ext.pruning import ChannelIndex

from ..algorithms.geta.cifar_nets import VGG7, HandMember, HandUnit, ResNet20, unit
from ..algorithms.geta.toy import Net, grouped


def brute(units, tensors):
    """Elements of each group by explicit loops."""
    groups = []
    for item in units:
        for c in range(item.num_channels):
            parts = [tensors[m.name].movedim(m.dim, 0)[m.indices[c]].reshape(-1)
                     for m in item.members if m.role == 'out' and m.name in tensors]
            groups.append(torch.cat(parts).double())
    return groups


def check(units, parameters):
    index = ChannelIndex(units, parameters, ['bn1.running_mean'])
    torch.manual_seed(0)
    other = {n: torch.randn_like(p) for n, p in parameters.items()}
    mine = brute(units, {n: p.detach() for n, p in parameters.items()})
    theirs = brute(units, other)
    ordered = [other[e.name] for e in index.entries]
    norms = torch.stack([g.norm() for g in mine])
    dots = torch.stack([a @ b for a, b in zip(mine, theirs)])
    torch.testing.assert_close(index.norms().double(), norms, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(index.dots(index.params, ordered).double(), dots, rtol=1e-4,
                               atol=1e-5)
    assert index.counts.tolist() == [g.numel() for g in mine]
    return index


@pytest.mark.smoke
@pytest.mark.parametrize('net', [Net, lambda: ResNet20(4, 1), lambda: VGG7(8)])
def test_norms_and_products_match_a_loop(net):
    model = net()
    with torch.no_grad():
        for p in model.parameters():
            p.uniform_(-1, 1)
    check(model.units(), dict(model.named_parameters()))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_layout_matches_a_loop(data):
    """Random dimensions, several positions per channel, permuted, parameters of two units."""
    seed = data.draw(st.integers(0, 10 ** 6))
    generator = torch.Generator().manual_seed(seed)
    shapes = {f'p{i}': data.draw(st.tuples(st.just(24), st.integers(1, 3), st.integers(1, 4)))
              for i in range(3)}
    dims = {name: data.draw(st.sampled_from([0, 1, 2])) for name in shapes}
    parameters = {name: nn.Parameter(torch.randn(tuple(torch.tensor(shape).roll(dims[name])),
                                                 generator=generator))
                  for name, shape in shapes.items()}
    # Two units take parts of each parameter: 4 channels of 2 positions, 3 channels of 3.
    layouts = [(4, 2), (3, 3)]
    members = [[], []]
    for name, parameter in parameters.items():
        positions = torch.randperm(24, generator=generator)
        for i, (channels, each) in enumerate(layouts):
            taken, positions = positions[:channels * each], positions[channels * each:]
            dim = list(parameter.shape).index(24)
            members[i].append(HandMember(name, dim, taken.view(channels, each), 'out'))
    units = [HandUnit(f'u{i}', c, tuple(members[i])) for i, (c, _) in enumerate(layouts)]
    index = check(units, parameters)
    # Scaling touches each group's elements once, and nothing else.
    before = {n: p.detach().clone() for n, p in parameters.items()}
    factors = torch.rand(7, generator=generator)
    index.scale_(factors)
    for name, parameter in parameters.items():
        expected = before[name].clone()
        for i, item in enumerate(units):
            for c in range(item.num_channels):
                member = next(m for m in item.members if m.name == name)
                view = expected.movedim(member.dim, 0)
                view[member.indices[c]] *= factors[c + (4 if i else 0)]
        torch.testing.assert_close(parameter.detach(), expected)


def test_sizes_of_the_reference_nets():
    for net, params, groups, units in ((ResNet20(), 272_474, 448, 12),
                                       (VGG7(), 5_115_530, 2816, 7)):
        index = grouped(net)
        assert sum(p.numel() for p in net.parameters()) == params
        assert (index.total, len(index.sizes)) == (groups, units)


def member(name, dim, rows):
    return HandMember(name, dim, torch.tensor(rows), 'out')


@pytest.mark.parametrize(('units', 'text'), [
    ([], 'no prunable unit'),
    ([unit('a', 12, 'conv1.wait')], 'conv1.wait'),
    ([unit('a', 12, 'conv1.weight'), unit('b', 12, 'conv1.weight')], 'two channels'),
    ([unit('a', 12, 'conv1.weight', 'conv1.weight')], 'two channels'),
    ([HandUnit('a', 2, (member('conv1.weight', 0, [[0, 1], [1, 2]]),))], 'two channels'),
    ([HandUnit('a', 2, (member('conv1.weight', 0, [[0], [1]]),
                        member('conv1.weight', 1, [[0], [1]])))], 'dimensions 0 and 1'),
    ([HandUnit('a', 3, (member('conv1.weight', 0, [[0], [1]]),))], '3 channels'),
    ([HandUnit('a', 2, (member('conv1.weight', 0, [[0], [12]]),))], 'leave'),
    ([unit('a', 12, 'bn1.running_mean')], 'no parameter'),
    ([unit('a', 12, 'conv1.weight'), unit('a', 12, 'bn1.weight')], 'same name'),
])
def test_faulty_units_are_refused(units, text):
    with pytest.raises(ValueError, match=text):
        grouped(Net(), units)


def test_one_tensor_under_two_names_is_refused():
    net = Net()
    names = dict(net.named_parameters())
    names['alias.weight'] = net.conv1.weight
    with pytest.raises(ValueError, match='one tensor'):
        ChannelIndex([unit('a', 12, 'conv1.weight', 'alias.weight')], names)
