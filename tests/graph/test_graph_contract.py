"""What the graph promises its callers: errors, nothing mutated, exact slices, honest proofs."""
from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from razor_ext.graph import (
    NothingToPruneError,
    ProofError,
    SliceError,
    TraceError,
    analyze,
    register_fixer,
    slice_model,
)
from razor_ext.graph.fixers import find_fixer
from razor_ext.graph.ids import IdSpace
from razor_ext.graph.proof import Prover

from .graph_nets import FrameNet, ResNet, conv_bn, random_keep

SMALL = dict(depth=(1, 1), width=8)
IMAGE = (1, 3, 16, 16)


class Two(nn.Module):
    """Two layers around a function."""

    def __init__(self, between=lambda x: x, width: int = 8) -> None:
        super().__init__()
        self.a, self.b, self.between = nn.Linear(4, width), nn.Linear(width, 2), between

    def forward(self, x):
        return self.b(self.between(self.a(x)))


# ---- errors
def test_value_dependent_control_flow_names_operator_and_line():
    with pytest.raises(TraceError, match=r'item|_local_scalar_dense|is_nonzero') as caught:
        analyze(Two(lambda x: x if x.sum() > 0 else -x), torch.randn(2, 4))
    assert 'test_graph_contract.py:' in str(caught.value)


def test_inputs_that_do_not_fit_name_operator_and_line():
    with pytest.raises(TraceError, match=r'source line .*test_graph_contract.py:'):
        analyze(Two(), torch.randn(2, 5))


def test_an_opaque_output_is_refused():
    class Box:
        pass

    class Net(Two):

        def forward(self, x):
            box = Box()
            box.value = super().forward(x)
            return box

    with pytest.raises(TraceError, match='object of type Box'):
        analyze(Net(), torch.randn(2, 4))


def test_nothing_to_prune_names_what_froze_it():
    with pytest.raises(NothingToPruneError, match=r'_softmax.*test_graph_contract.py:'):
        analyze(Two(lambda x: x.softmax(-1)), torch.randn(2, 4))
    with pytest.raises(NothingToPruneError, match='output of the model'):
        analyze(nn.Linear(3, 4), torch.randn(2, 3))
    with pytest.raises(NothingToPruneError, match='no parameter'):
        analyze(nn.ReLU(), torch.randn(2, 3))


@pytest.mark.parametrize('inputs', ['text', 3, None])
def test_example_inputs_of_a_wrong_type(inputs):
    with pytest.raises(TypeError, match='example_inputs must be'):
        analyze(Two(), inputs)


@pytest.mark.parametrize('inputs', [
    torch.randn(2, 4), (torch.randn(2, 4), ), [torch.randn(2, 4)], dict(x=torch.randn(2, 4))])
def test_example_inputs_of_every_kind(inputs):
    assert [unit.num_channels for unit in analyze(Two(), inputs).units] == [8]


def test_keep_takes_exact_names_only():
    model = Two()
    with pytest.raises(ValueError, match="no module or parameter named 'aa'"):
        analyze(model, torch.randn(2, 4), keep=['aa'])
    with pytest.raises(ValueError, match='list of names'):
        analyze(model, torch.randn(2, 4), keep='a')
    with pytest.raises(NothingToPruneError, match='kept whole on request'):
        analyze(model, torch.randn(2, 4), keep=['a'])
    net = nn.Sequential(*[nn.Linear(4, 4) for _ in range(12)])
    names = [unit.name for unit in analyze(net, torch.randn(2, 4), keep=['1']).units]
    assert '10_(0, 4)_4' in names  # '1' is not a prefix
    assert '1_(0, 4)_4' not in names


def test_free_outputs_are_checked():
    with pytest.raises(ValueError, match='no output 1'):
        analyze(Two(), torch.randn(2, 4), free_outputs={1: [1]})
    with pytest.raises(ValueError, match='no dimension 2'):
        analyze(Two(), torch.randn(2, 4), free_outputs={0: [2]})


@pytest.mark.parametrize('keep, message', [
    ({'c_(0, 8)_8': torch.ones(8, dtype=torch.bool)}, 'is not a unit'),
    ({'a_(0, 8)_8': torch.ones(7, dtype=torch.bool)}, 'must be Boolean of shape'),
    ({'a_(0, 8)_8': torch.ones(8)}, 'must be Boolean'),
    ({'a_(0, 8)_8': torch.zeros(8, dtype=torch.bool)}, 'keeps no channel')])
def test_a_bad_choice_is_refused(keep, message):
    model = Two()
    with pytest.raises(SliceError, match=message):
        slice_model(model, analyze(model, torch.randn(2, 4)), keep)


def test_a_graph_of_another_model_is_refused():
    graph = analyze(Two(), torch.randn(2, 4))
    keep = {'a_(0, 8)_8': torch.arange(8) < 4}
    with pytest.raises(SliceError, match='no parameter'):
        slice_model(nn.Sequential(nn.Linear(4, 8)), graph, keep, check=False)
    with pytest.raises(SliceError, match='too small'):
        slice_model(Two(width=6), graph, keep, check=False)


def test_counts_of_an_unknown_unit():
    with pytest.raises(KeyError, match='is not a unit'):
        analyze(Two(), torch.randn(2, 4)).macs({'x': 1})


# ---- nothing is mutated
def snapshot(model):
    return ({name: tensor.clone() for name, tensor in model.state_dict().items()},
            {name: module.training for name, module in model.named_modules()},
            {name: id(tensor) for name, tensor in model.named_parameters()})


@pytest.mark.smoke
def test_the_model_and_the_random_state_are_untouched():
    class Counting(ResNet):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x + 0 * torch.rand_like(x))

    model = Counting(**SMALL).train()
    model.body[0].eval()
    model.fc.weight.requires_grad_(False)
    inputs, before, rng = torch.randn(IMAGE), snapshot(model), torch.get_rng_state()
    state = copy.deepcopy(inputs)
    graph = analyze(model, inputs)
    graph.prove(0.5)
    slice_model(model, graph, random_keep(graph.units, 0.5, 0))
    after = snapshot(model)
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.equal(inputs, state)
    assert before[1:] == after[1:]
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert model.calls == 0
    assert not model.fc.weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_sync_batch_norm_is_analysed_as_batch_norm():
    model = nn.SyncBatchNorm.convert_sync_batchnorm(ResNet(**SMALL))
    graph = analyze(model, torch.randn(IMAGE))
    plain = analyze(ResNet(**SMALL), torch.randn(IMAGE))
    assert [unit.name for unit in graph.units] == [unit.name for unit in plain.units]
    assert isinstance(model.stem[1], nn.SyncBatchNorm)
    sliced = slice_model(model, graph, random_keep(graph.units, 0.5, 0))
    assert isinstance(sliced.stem[1], nn.SyncBatchNorm)
    assert sliced.stem[1].num_features == len(sliced.stem[1].weight)


# ---- slices
@pytest.mark.smoke
def test_a_slice_equals_the_masked_model_and_its_attributes_follow():
    model = ResNet(**SMALL, groups=8).train()
    graph = analyze(model, torch.randn(IMAGE))
    sliced = slice_model(model, graph, random_keep(graph.units, 0.5, 3, uneven=True))
    assert sliced.training
    for module in sliced.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[:2] == (module.out_channels,
                                               module.in_channels // module.groups)
        elif isinstance(module, nn.BatchNorm2d):
            assert len(module.weight) == module.num_features == len(module.running_var)
        elif isinstance(module, nn.Linear):
            assert module.weight.shape == (module.out_features, module.in_features)
    again = slice_model(ResNet(**SMALL, groups=8), graph,
                        random_keep(graph.units, 0.5, 3, uneven=True), check=False)
    again.load_state_dict(sliced.state_dict())
    x = torch.randn(IMAGE)
    assert torch.equal(again.eval()(x), sliced.eval()(x))


def test_shared_parameters_stay_shared():
    class Tied(nn.Module):

        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(8, 8) for _ in range(3))
            self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.last(self.c(self.b(self.a(self.first(x)).relu()).relu()))

    model = Tied()
    graph = analyze(model, torch.randn(2, 4))
    sliced = slice_model(model, graph, random_keep(graph.units, 0.5, 0))
    assert sliced.a.weight is sliced.b.weight
    assert sliced.a.weight.shape == (4, 4)
    assert graph.prove(0.5) < 1e-9


class SharedHeads(nn.Module):
    """Branches with layers of their own and one convolution in common, as RTMDet's head has."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.branches = nn.ModuleList(conv_bn(3, width) for _ in range(3))
        for branch in self.branches:
            branch[0] = self.branches[0][0]
        self.outs = nn.ModuleList([nn.Conv2d(width, 4, 1)] * 3)

    def forward(self, x):
        return [out(branch(x)) for branch, out in zip(self.branches, self.outs)]


def test_a_module_under_two_names():
    """Its parameters were left as tensors of the trace, which cannot be copied."""
    model = SharedHeads()
    before = copy.deepcopy(model.state_dict())
    graph = analyze(model, torch.randn(IMAGE))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [unit.num_channels for unit in graph.units] == [8]
    assert graph.prove(0.5) < 1e-9
    sliced = slice_model(model, graph, random_keep(graph.units, 0.5, 0))
    assert sliced.branches[2][0] is sliced.branches[0][0] and sliced.outs[1] is sliced.outs[0]
    assert sliced.outs[1].in_channels == sliced.branches[2][0].out_channels == 4
    assert [len(branch[1].weight) for branch in sliced.branches] == [4] * 3


def test_a_fixer_knows_a_shared_parameter_by_each_of_its_names():
    class Holder(nn.Module):

        def __init__(self, layer):
            super().__init__()
            self.layer, self.norm, self.width = layer, nn.BatchNorm1d(8), 8

        def forward(self, x):
            return self.norm(self.layer(x))[:, :self.width]

    @register_fixer(Holder)
    def fix_width(module, kept):
        assert kept.full_size('layer.weight', 0) == 8
        module.width = len(kept.positions('layer.weight', 0))

    class Net(nn.Module):

        def __init__(self):
            super().__init__()
            layer = nn.Linear(4, 8)
            self.a, self.b, self.out = Holder(layer), Holder(layer), nn.Linear(8, 2)

        def forward(self, x):
            return self.out(self.a(x) + self.b(x))

    model = Net()
    graph = analyze(model, torch.randn(2, 4))
    sliced = slice_model(model, graph, random_keep(graph.units, 0.5, 0))
    assert sliced.a.width == sliced.b.width == 4


def test_a_size_held_by_python_code_is_refused_by_name():
    class Heads(nn.Module):

        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 12), nn.Linear(12, 2)

        def forward(self, x):
            return self.b((self.a(x).view(-1, 3, 4) * 2).view(-1, 12))

    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4), Heads())
    graph = analyze(model, torch.randn(2, 4))
    assert [unit.name for unit in graph.units] == ['0_(0, 6)_6', '2_(0, 4)_4']
    (name, reason), = graph.refused.items()
    assert name.startswith('3.a')
    assert 'view' in reason
    assert 'test_graph_contract.py:' in reason


class Shrinking(nn.Module):
    """Its width is a Python constant that only a fixer can mend."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.width = nn.Linear(4, 12), nn.Linear(6, 2), 6

    def forward(self, x):
        gate, value = self.a(x).split([self.width, self.width], -1)
        return self.b(gate * value)


class Mended(Shrinking):
    pass


@register_fixer(Mended)
def fix_mended(module, kept):
    assert kept.full_size('b.weight', 1) == 6
    module.width = len(kept.positions('b.weight', 1))


def test_a_registered_fixer_mends_python_sizes():
    with pytest.raises(NothingToPruneError, match='split'):
        analyze(Shrinking(), torch.randn(2, 4))
    model = Mended()
    graph = analyze(model, torch.randn(2, 4))
    assert [unit.name for unit in graph.units] == ['a_(0, 12)_6']
    assert slice_model(model, graph, {'a_(0, 12)_6': torch.arange(6) > 1}).width == 4
    assert find_fixer(nn.ReLU()) is None


def test_slicing_refuses_what_was_not_verified():
    model = Shrinking()
    graph = analyze(model, torch.randn(2, 4), verify=False)
    with pytest.raises(SliceError, match=r'split.*test_graph_contract.py:'):
        slice_model(model, graph, {graph.units[0].name: torch.arange(6) > 1})


# ---- proofs
def test_a_proof_in_which_nothing_moved_is_no_proof():
    model = Two(lambda x: x * 0)
    graph = analyze(model, torch.randn(2, 4), verify=False)
    with pytest.raises(ProofError, match='changed nothing'):
        graph.prove(0.5)
    with pytest.raises(NothingToPruneError, match='changes no output'):
        analyze(model, torch.randn(2, 4))


@pytest.mark.parametrize('ratio', [0, 1, -1, 2])
def test_a_ratio_outside_the_unit_interval(ratio):
    with pytest.raises(ValueError, match='ratio must lie'):
        analyze(Two(), torch.randn(2, 4)).prove(ratio)


def test_the_proof_tells_slices_apart():
    """Negative control: slicing other channels than were masked must differ."""
    model = ResNet(**SMALL)
    graph = analyze(model, torch.randn(IMAGE))
    keep, other = random_keep(graph.units, 0.5, 0), random_keep(graph.units, 0.5, 1)
    prover = Prover(model, graph)
    _, masked = prover.compare(keep)
    _, wrong = prover.compare(other)
    assert max((a - b).abs().max() for a, b in zip(masked, wrong)) > 1e-3
    assert prover.compare(keep)[0] < 1e-12


# ---- accounting and reports
def test_costs_of_one_channel():
    graph = analyze(Two(), torch.randn(1, 4))
    unit, = graph.units
    assert (graph.total_macs, graph.total_params) == (4 * 8 + 8 * 2, 4 * 8 + 8 + 8 * 2 + 2)
    assert (unit.macs_per_channel, unit.params_per_channel) == (6, 7)
    assert graph.macs({unit.name: 3}) == 18
    assert graph.params({unit.name: 3}) == 3 * 7 + 2
    assert {(m.name, m.dim): m.role for m in unit.members} == {
        ('a.weight', 0): 'out', ('a.bias', 0): 'out', ('b.weight', 1): 'in'}


def test_names_of_raw_parameters_and_of_collisions():
    graph = analyze(FrameNet(), torch.randn(2, 1, 3, 16, 8))
    assert graph.units[-1].name == 'fc.matrix_(0, 12)_12'

    class Interleaved(nn.Module):

        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 12), nn.Linear(6, 2), nn.Linear(6, 2)
            self.d = nn.Linear(12, 2)

        def forward(self, x):
            even, odd = self.a(x).unflatten(-1, (3, 2, 2)).unbind(2)
            return self.b(even.flatten(1)), self.c(odd.flatten(1))

    with pytest.raises(NothingToPruneError):
        analyze(Interleaved(), torch.randn(2, 4))


def test_summary_and_drawing(tmp_path):
    graph = analyze(ResNet(**SMALL), torch.randn(IMAGE))
    text = graph.summary()
    assert 'stem.0_(0, 8)_8' in text
    assert f'{len(graph.units)} channel units' in text
    for name in ('graph.svg', 'graph.png'):
        graph.draw(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    assert 'stem.0_(0, 8)_8' in (tmp_path / 'graph.svg').read_text()
    with pytest.raises(ValueError, match=r'\.svg or \.png'):
        graph.draw(tmp_path / 'graph.txt')


def test_the_title_of_a_drawing_is_not_cropped(tmp_path, monkeypatch):
    """A graph of few units is narrower than the text above it."""
    from matplotlib.figure import Figure
    drawn = {}

    def measure(figure, path, **options):
        figure.canvas.draw()
        drawn['title'] = figure._suptitle.get_window_extent()
        drawn['figure'] = figure.bbox

    monkeypatch.setattr(Figure, 'savefig', measure)
    analyze(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)),
            torch.randn(1, 3, 8, 8)).draw(tmp_path / 'graph.png')
    assert drawn['title'].x0 >= 0
    assert drawn['title'].x1 <= drawn['figure'].x1
    assert drawn['title'].y1 <= drawn['figure'].y1



# ---- ids
def test_block_and_element_unions_agree():
    """Whole axes, exploded axes and their parts reach the same classes as a plain union-find."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        ids, axes, plain = IdSpace(), [], {}

        def find(x, plain=plain):
            while plain[x] != x:
                x = plain[x]
            return x

        for number in range(6):
            axes.append(ids.axis(4))
            plain.update({(number, i): (number, i) for i in range(4)})
        where = {number: [(number, i) for i in range(4)] for number in range(6)}
        for _ in range(8):
            a, b = rng.integers(len(axes), size=2)
            if rng.random() < 0.3:
                axes.append(ids.of(ids.elements(axes[a])[::-1].copy()))
                where[len(axes) - 1] = where[a][::-1]
            elif rng.random() < 0.3:
                reason = int(rng.integers(1, 5))
                ids.freeze(axes[a], reason)
                plain.update({('frozen', find(x)): 1 for x in where[a]})
            else:
                ids.union(axes[a], axes[b])
                for x, y in zip(where[a], where[b]):
                    plain[find(x)] = find(y)
        frozen = {find(key[1]) for key in plain if key[0] == 'frozen'}
        for a, axis in enumerate(axes):
            assert ids.live_mask(axis).tolist() == [find(x) not in frozen for x in where[a]]
            for b, other in enumerate(axes):
                same = ids.elements(axis)[:, None] == ids.elements(other)[None]
                assert same.tolist() == [[find(x) == find(y) for y in where[b]] for x in where[a]]


def test_layers_keep_their_statistics():
    model = nn.Sequential(conv_bn(3, 8), nn.Conv2d(8, 2, 1))
    graph = analyze(model, torch.randn(IMAGE))
    names = {member.name for member in graph.units[0].members}
    assert {'0.1.running_mean', '0.1.running_var', '0.1.weight', '0.1.bias'} <= names
