"""A sliced model comes back to what the dense one does, without a label."""
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from razor_ext.graph import analyze
from razor_ext.graph.slicing import complement, removed_positions
from razor_ext.posttraining.algorithm import PostTraining
from razor_ext.posttraining.reconstruction import reconstruct, watch_dense
from razor_ext.posttraining.run import compress_without_training
from razor_ext.posttraining.samples import (
    Samples,
    TooFewImagesError,
    collect_samples,
    images_at_once,
    stacked,
)
from razor_ext.posttraining.scores import SCORES
from razor_ext.quantization.sensitivity import output_error
from razor_ext.structure.demo_input import GivenInput
from razor_ext.structure.slicing import slice_quantized


class Net(BaseModel):
    """Wider than its task: ten classes of stripes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24))
        self.depthwise = nn.Conv2d(24, 24, 3, 1, 1, groups=24)
        self.mix = nn.Sequential(nn.Conv2d(24, 32, 1), nn.BatchNorm2d(32))
        self.head = nn.Linear(32, 10)

    def forward(self, inputs: torch.Tensor, data_samples: torch.Tensor | None = None,
                mode: str = 'tensor') -> torch.Tensor | dict[str, torch.Tensor]:
        x = self.stem(inputs).relu()
        x = self.mix(self.depthwise(x).relu()).relu()
        x = self.head(x.mean((2, 3)))
        return dict(loss=nn.functional.cross_entropy(x, data_samples)) if mode == 'loss' else x


def images(count: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (count, ), generator=generator)
    position = torch.arange(16.)
    waves = torch.sin(position * (0.3 + 0.25 * (labels % 5)[:, None]))
    across = waves[:, None, :].expand(-1, 16, -1)
    pictures = torch.where((labels < 5)[:, None, None], across, across.transpose(1, 2))
    return dict(inputs=pictures[:, None] + 0.3 * torch.randn(
        count, 1, 16, 16, generator=generator), data_samples=labels)


@pytest.fixture(scope='module')
def trained() -> Net:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(120):
        optimizer.zero_grad()
        model(**images(64, step), mode='loss')['loss'].backward()
        optimizer.step()
    return model.eval()


@pytest.fixture
def samples() -> Samples:
    return Samples([images(64, 1000 + n) for n in range(6)],
                   [images(64, 2000 + n) for n in range(2)])


def accuracy(model: nn.Module) -> float:
    batch = images(500, 3000)
    with torch.no_grad():
        return float((model(batch['inputs']).argmax(1) == batch['data_samples']).float().mean())


def algorithm(model: Net, **options) -> PostTraining:
    return PostTraining(copy.deepcopy(model), demo_input=GivenInput(torch.zeros(1, 1, 16, 16)),
                        **options)


def test_layers_take_over_what_went(trained, samples):
    graph = analyze(trained, torch.zeros(1, 1, 16, 16))
    keep = {unit.name: torch.arange(unit.num_channels) % 2 == 0 for unit in graph.units}
    batch = stacked(samples.fit, 10_000)
    assert len(batch['inputs']) == 6 * 64
    teacher = watch_dense(trained, lambda net: net(batch['inputs']))
    assert set(teacher.layers) == {'stem.0', 'depthwise', 'mix.0', 'head'}
    assert teacher.norms == {'stem.1', 'mix.1'}
    tensors = dict(trained.named_parameters())
    kept = {(name, dim): complement(positions, tensors[name].shape[dim])
            for (name, dim), positions in removed_positions(graph.units, keep).items()
            if name in tensors}
    errors = {}
    with torch.no_grad():
        held = samples.held[0]['inputs']
        expected = [trained(held)]
        plain = slice_quantized(trained, graph, keep).eval()
        errors['sliced'] = output_error([plain(held)], expected)
        for norms in (False, True):
            model = slice_quantized(trained, graph, keep).eval()
            before = {key: value.clone() for key, value in model.state_dict().items()}
            layers = reconstruct(model, teacher, kept, lambda net: net(batch['inputs']), norms)
            errors[norms] = output_error([model(held)], expected)
            assert set(layers) == set(teacher.layers)
            assert all(after <= first for first, after in layers.values())
            moved = not torch.equal(model.stem[1].running_var, before['stem.1.running_var'])
            assert moved == norms
    assert errors[False] < 0.25 * errors['sliced']
    assert errors[True] < 0.5 * errors['sliced']
    # The teacher is left alone.
    assert torch.equal(trained(held), expected[0])


def test_a_layer_that_is_called_twice_is_left(samples):
    class Twice(Net):
        def forward(self, inputs, data_samples=None, mode='tensor'):
            return self.head(self.mix(self.depthwise(self.depthwise(
                self.stem(inputs)))).mean((2, 3)))

    model, batch = Twice().eval(), samples.fit[0]
    assert set(watch_dense(model, lambda net: net(batch['inputs'])).layers) == {
        'stem.0', 'mix.0', 'head'}


def test_a_layer_that_is_not_what_its_type_promises_is_left(samples):
    class Shifted(nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(x, self.weight + 1, self.bias)

    model, batch = Net().eval(), samples.fit[0]
    model.mix[0] = Shifted(24, 32, 1)
    assert set(watch_dense(model, lambda net: net(batch['inputs'])).layers) == {
        'stem.0', 'depthwise', 'head'}


@pytest.mark.parametrize('name', list(SCORES))
def test_every_score_is_finite_and_leaves_no_trace(trained, samples, name):
    built = algorithm(trained, target=dict(kind='macs', ratio=0.5)).eval()
    index = built.mutator.channel_index(built.architecture)
    built.architecture.head.requires_grad_(False)
    scores = SCORES[name](built, index, samples.fit[:2])
    assert scores.shape == (index.total, )
    assert bool(scores.isfinite().all())
    assert scores.std() > 0
    assert not any(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
                   for module in built.architecture.modules())
    assert not built.architecture.head.weight.requires_grad
    assert all(parameter.grad is None for parameter in built.architecture.parameters())


def test_a_dead_channel_scores_least(trained, samples):
    model = copy.deepcopy(trained)
    with torch.no_grad():
        model.mix[0].weight[:, 5] = 0
    for name in ('taylor', 'group_fisher', 'activation'):
        built = algorithm(model, target=dict(kind='macs', ratio=0.5)).eval()
        index = built.mutator.channel_index(built.architecture)
        scores = SCORES[name](built, index, samples.fit[:2])
        stem = scores[:24]  # the unit of stem and depthwise comes first
        assert int(stem.argmin()) == 5, name


def test_the_whole_keeps_most_of_the_accuracy(trained, samples):
    said: list[str] = []
    built = algorithm(trained, target=dict(kind='macs', ratio=0.5), divisor=4, quant=dict(
        weight_bits=(3, 8), activation_bits=(4, 8), weight_power=False,
        weight_granularity='channel'), mean_bits=6.0)
    finished = compress_without_training(built, samples, tell=said.append)
    compressed = finished.compressed
    graph = built.mutator.graph
    assert graph.macs(compressed.structure) <= 0.5 * graph.total_macs
    assert all(count % 4 == 0 for count in compressed.structure.values())
    dense, kept = accuracy(trained), accuracy(compressed.model)
    assert dense > 0.9
    assert kept > dense - 0.1
    # The dense weights are as they were.
    assert accuracy(built.architecture) == dense
    assert any('taken' in line for line in said)


def test_a_score_that_does_not_fit_the_model_is_left_out_and_said(trained, samples, monkeypatch):
    def refuse(*_):
        raise RuntimeError('its rows are no samples')

    monkeypatch.setitem(SCORES, 'taylor', refuse)
    said: list[str] = []
    target = dict(kind='macs', ratio=0.5)
    both = algorithm(trained, target=target, scores=['taylor', 'l1'])
    finished = compress_without_training(both, samples, tell=said.append)
    assert all(name.startswith('l1') for name in finished.figures['variants'])
    assert 'taylor scores are left out: its rows are no samples' in said
    with pytest.raises(RuntimeError, match='no samples'):
        compress_without_training(algorithm(trained, target=target, scores=['taylor']), samples,
                                  tell=said.append)


def test_images_are_taken_by_whole_batches():
    model = Net()
    loader = [images(16, n) for n in range(10)]
    found = collect_samples(loader, model, 100)
    assert found.images == 112
    assert (len(found.fit), len(found.held)) == (5, 2)
    with pytest.raises(TooFewImagesError, match='16 images are 1 batch'):
        collect_samples(loader, model, 10)


def test_batches_of_other_shapes_are_not_joined():
    one, other = images(4, 0), images(4, 1)
    other['inputs'] = other['inputs'][..., :8]
    assert len(stacked([one, one, other, one], 100)['inputs']) == 8
    assert len(stacked([one, one, one], 8)['inputs']) == 8
    assert images_at_once(Net(), one) > 1
