"""What the trace makes itself: results of the commonest operators, and the copy it runs on."""
from __future__ import annotations

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from razor_ext.graph import analyze, slice_model
from razor_ext.graph.choices import choose
from razor_ext.graph.shapes import shortcut
from razor_ext.graph.structure import structure_copy
from razor_ext.graph.trace import _fake, trace

ATEN = torch.ops.aten


def convolution(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, transposed=False):
    rank = x.dim() - 2
    return ATEN.convolution.default, (x, weight, bias, [stride] * rank, [padding] * rank,
                                      [dilation] * rank, transposed, [0] * rank, groups)


X = torch.randn(2, 6, 9, 7)
VECTORS = [torch.rand(6) for _ in range(4)]
MADE = [
    (ATEN.silu.default, (X, )), (ATEN.hardtanh.default, (X, -1., 2.)),
    (ATEN.add.Tensor, (X, X + 1)), (ATEN.div.Tensor, (X, X)),
    (ATEN._native_batch_norm_legit_no_training.default, (X, *VECTORS, .1, 1e-5)),
    (ATEN.native_batch_norm.default, (X, *VECTORS, False, .1, 1e-5)),
    convolution(X, torch.randn(4, 6, 3, 3), torch.randn(4), 2, 1),
    convolution(X, torch.randn(6, 1, 3, 3), None, 1, 2, 2, 6),
    convolution(X[..., 0].contiguous(), torch.randn(4, 3, 3), None, 3, 0, 1, 2),
    convolution(X[None].movedim(2, 1).contiguous(), torch.randn(4, 6, 2, 3, 3)),
]
LEFT = [
    (ATEN.silu.default, (X.transpose(1, 2), )), (ATEN.relu.default, (torch.ones(3).long(), )),
    (ATEN.add.Tensor, (X, X[:1])), (ATEN.mul.Tensor, (X, X.double())), (ATEN.mul.Tensor, (X, 2.)),
    (ATEN.native_batch_norm.default, (X, *VECTORS, True, .1, 1e-5)),
    (ATEN.native_batch_norm.default, (X, torch.rand(5), *VECTORS[1:], False, .1, 1e-5)),
    convolution(X, torch.randn(4, 5, 3, 3)), convolution(X, torch.randn(5, 3, 3, 3), groups=2),
    convolution(X, torch.randn(4, 6, 3, 3), torch.randn(3)),
    convolution(X, torch.randn(4, 6, 10, 3)),
    convolution(X, torch.randn(6, 4, 3, 3), transposed=True),
    (ATEN.exp.default, (X, )),
]


def shortened(func, args):
    mode = FakeTensorMode()
    faked = [_fake(mode, x) if isinstance(x, torch.Tensor) else x for x in args]
    with mode:
        return shortcut(mode, func, tuple(faked), None)


@pytest.mark.parametrize('func, args', MADE)
def test_results_made_at_once_are_those_of_the_operator(func, args) -> None:
    made, real = shortened(func, args), func(*args)
    pairs = zip(made, real) if isinstance(real, tuple) else [(made, real)]
    for one, other in pairs:
        assert (one.shape, one.stride(), one.dtype) == (other.shape, other.stride(), other.dtype)
        assert one.device == other.device


@pytest.mark.parametrize('func, args', LEFT)
def test_what_is_not_plain_is_left_to_the_fake_tensor_mode(func, args) -> None:
    assert shortened(func, args) is None


class Tangled(nn.Module):
    """Holds modules and tables in more places than its children."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.norm = nn.SyncBatchNorm(4)
        self.again = self.first
        self.steps = [self.first, self.norm, self.last]
        self.seen: list = []
        self.shown = self.seen
        self.register_buffer('scale', torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x)
        self.seen.append(x.shape)
        return x * self.scale


def test_the_copy_keeps_the_tangle_and_leaves_the_model_alone() -> None:
    model = Tangled().train()
    clone = structure_copy(model)
    assert clone.again is clone.first is clone.steps[0] is not model.first
    assert isinstance(clone.last, nn.Conv2d) and clone.steps[2] is clone.last
    assert clone.shown is clone.seen is not model.seen
    assert clone.first.weight is model.first.weight and clone.scale is model.scale
    assert not clone.training and model.training
    clone.eval()(torch.ones(1, 3, 2, 2))
    assert model.seen == [] and len(clone.shown) == 1
    assert list(vars(clone)) == list(vars(model))


def test_modules_that_copy_themselves_are_asked_to() -> None:

    class Locked(nn.Linear):

        def __init__(self) -> None:
            super().__init__(4, 4)
            self.lock = threading.Lock()

        def __deepcopy__(self, memo: dict) -> Locked:
            twin = Locked()
            twin._parameters = dict(self._parameters)
            return twin

    model = nn.Sequential(Locked(), nn.ReLU(), nn.Linear(4, 2))
    clone = structure_copy(model)
    assert clone[0] is not model[0] and clone[0].weight is model[0].weight
    assert len(analyze(model, torch.ones(1, 4), verify=False).units) == 1


def test_a_wrong_size_is_an_error_of_the_operator_itself() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(5, 2, 1)).eval()
    with pytest.raises(Exception, match=r'convolution.*'):
        trace(model, (torch.ones(1, 3, 4, 4), ), {})


def test_every_choice_leaves_a_channel() -> None:

    class Unit:
        name, num_channels = 'one', 1

    for where in ('first', 'last', 'random'):
        assert choose([Unit], [0.9], 0, where)['one'].tolist() == [True]


def test_a_unit_of_one_channel_is_not_prunable() -> None:
    """All channels of a rotated stream hang together: nothing of it can go."""

    class Tied(nn.Module):

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.a(x)
            x = x + torch.cat([x[:, 3:], x[:, :3]], 1)
            return self.c(F.relu(self.b(x)))

    graph = analyze(Tied(), torch.ones(1, 3, 4, 4))
    assert [unit.name for unit in graph.units] == ['b_(0, 4)_4']
    assert graph.refused == {
        'a_(0, 8)_1': 'all its positions go together, and something has to stay'}


def test_weights_split_over_resolutions_follow_their_streams() -> None:
    """LiteHRNet's cross-resolution weighting holds the widths of its streams."""
    from mmpose.models.backbones.litehrnet import CrossResolutionWeighting

    class Streams(nn.Module):

        def __init__(self) -> None:
            super().__init__()
            self.fine, self.coarse = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1, stride=2)
            self.weigh = CrossResolutionWeighting([4, 6], ratio=2)
            self.heads = nn.ModuleList([nn.Conv2d(4, 2, 1), nn.Conv2d(6, 2, 1)])

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            streams = self.weigh([self.fine(x), self.coarse(x)])
            return [head(stream) for head, stream in zip(self.heads, streams)]

    model, x = Streams().eval(), torch.randn(1, 3, 4, 4)
    graph = analyze(model, x)
    assert not graph.refused and graph.prove(0.5) < 1e-9
    keep = {unit.name: torch.arange(unit.num_channels) != 1 for unit in graph.units}
    sliced = slice_model(model, graph, keep)
    assert sliced.weigh.channels == [3, 5] and model.weigh.channels == [4, 6]
    assert copy.deepcopy(sliced)(x)[0].shape == (1, 2, 4, 4)
