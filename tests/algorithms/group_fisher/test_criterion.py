"""GroupFisher over the dependency graph: what its statistics are, and that masks are slices."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from graph_fisher import graph_fisher
from mmengine.model import BaseModel
from mmrazor.registry import MODELS
from tiny_pose import batch, group_fisher
from torch import nn

from razor_ext.algorithms.group_fisher import GroupFisher
from razor_ext.graph import NothingToPruneError, slice_model
from razor_ext.pruning import GraphMutator
from razor_ext.structure import StructureError


class Parts(nn.Module):
    """One matrix per part [p, i, o], input [n, i, p]."""
    input_channel_dim = 1

    def __init__(self, parts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(parts, inputs, outputs) * .3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.matmul(x.permute(2, 0, 1), self.weight).permute(1, 2, 0)


@MODELS.register_module(force=True)
class FisherClips(BaseModel):
    """Every kind of consumer: Conv3d, strips folded into the batch, a transposed and a grouped
    convolution, per-part matrices, a raw matrix, and queries and keys multiplied with each other.
    """

    def __init__(self, data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.stem = nn.Conv3d(1, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm3d(6)
        self.strips = nn.Conv3d(6, 8, 3, padding=1)
        self.up = nn.ConvTranspose1d(8, 6, 2, 2)
        self.depthwise = nn.Conv1d(6, 6, 3, padding=1, groups=6)
        self.parts = Parts(8, 6, 8)
        self.neck = nn.BatchNorm1d(8)
        self.mixer = nn.Parameter(torch.randn(8, 6) * .3)
        self.base = nn.Linear(6, 4)
        self.gamma = nn.Parameter(torch.randn(2, 4))
        self.beta = nn.Parameter(torch.randn(2, 4))
        self.head = nn.Linear(6, 3)

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        n, _, t, h, w = x.shape
        x = F.relu(self.norm(self.stem(x)))
        x = x.reshape(n, -1, t, 2, h // 2, w).permute(0, 3, 1, 2, 4, 5)
        x = F.silu(self.strips(x.reshape(n * 2, -1, t, h // 2, w)))
        x = x.reshape(n, 2, -1, t * (h // 2) * w).mean(3).permute(0, 2, 1)
        x = F.silu(self.depthwise(self.up(x).repeat(1, 1, 2)))
        x = F.silu(self.neck(self.parts(x)))
        x = torch.matmul(x.transpose(1, 2), self.mixer)
        scaled = F.silu(self.base(x)).unsqueeze(2) * self.gamma + self.beta
        return {'mixed': x, 'query': scaled[:, :, 0], 'key': scaled[:, :, 1]}

    def forward(self, inputs: torch.Tensor, data_samples: object = None, mode: str = 'tensor'
                ) -> torch.Tensor | dict[str, torch.Tensor]:
        kept = self.features(inputs)
        out = self.head(kept['query'] @ kept['key'].transpose(1, 2) @ kept['mixed']).mean(1)
        return {'loss': out.square().sum()} if mode == 'loss' else out


CLIPS = (1, 1, 2, 4, 4)


def clips(**options: object) -> GroupFisher:
    torch.manual_seed(0)
    return GroupFisher(architecture=FisherClips(), demo_input=CLIPS, **options)


def record(algorithm: GroupFisher, loss: torch.Tensor | None = None, *, batch: int,
           scale: float = 1.0) -> None:
    """End a recorded step."""
    algorithm.criterion.end_step()
    index = algorithm.masks.index(algorithm.architecture, algorithm.mutator)
    algorithm.criterion.record(index, algorithm.masks.pruned, batch, scale)


def step(algorithm: GroupFisher, x: torch.Tensor) -> None:
    algorithm.criterion.start_step()
    algorithm.architecture.train()(x, mode='loss')['loss'].backward()
    record(algorithm, batch=len(x))


def infos(algorithm: GroupFisher) -> dict[str, torch.Tensor]:
    """Fisher information by unit, under the name of its first layer."""
    names = [unit.name for unit in algorithm.mutator.mutable_units]
    sizes = [unit.num_channels for unit in algorithm.mutator.mutable_units]
    return dict(zip(names, algorithm.criterion.info.split(sizes)))


def short(values: dict) -> dict:
    return {name.partition('_(')[0]: value for name, value in values.items()}


def keep_masks(algorithm: GroupFisher) -> dict[str, torch.Tensor]:
    index = algorithm.masks.index(algorithm.architecture, algorithm.mutator)
    return index.keep_masks(algorithm.masks.pruned)


@pytest.fixture(scope='module')
def both() -> tuple:
    """MMRazor's way and the graph's after a step of the same RTMPose on the same people."""
    torch.manual_seed(0)
    dynamic, graph = MODELS.build(group_fisher()), MODELS.build(graph_fisher())
    dynamic.init_weights()
    state = {key: value for key, value in dynamic.architecture.state_dict().items()
             if 'mutable' not in key}
    graph.architecture.load_state_dict(state)
    dynamic.measure_resource()
    for recorder, algorithm in ((dynamic.mutator, dynamic), (graph.criterion, graph)):
        algorithm.train()
        start = getattr(recorder, 'start_record_info', None) or recorder.start_step
        start()
        data = algorithm.data_preprocessor(batch(0, 4), True)
        algorithm.architecture(**data, mode='loss')['loss_kpt'].backward()
    dynamic.mutator.end_record_info()
    dynamic.mutator.update_imp(4)
    record(graph, batch=4)
    return dynamic, graph


def test_statistics_are_those_of_the_dynamic_layers(both: tuple) -> None:
    """All 26 units of the backbone, normalised by their activations; and there are more units."""
    dynamic = {unit.name: unit.normalized_fisher_info for unit in both[0].mutator.mutable_units}
    graph = infos(both[1])
    assert len(dynamic) == 26 and len(graph) == 29
    for name, info in dynamic.items():
        assert info.min() > 0
        torch.testing.assert_close(graph[name], info, rtol=1e-4, atol=0)


def test_costs_are_of_all_parameters_and_near_those_of_mmrazor(both: tuple) -> None:
    dynamic, graph = both[0].mutator.resource.dense, both[1].mutator.graph
    assert graph.total_params == sum(
        parameter.numel() for parameter in both[1].architecture.parameters())
    # MMRazor counts norms and poolings, and no products of activations.
    assert graph.total_macs / 1e6 == pytest.approx(dynamic['flops'], rel=.05)


def test_units_of_the_head_are_read_from_layers_and_from_scales(both: tuple) -> None:
    units = {unit.name: unit for unit in both[1].criterion.units}
    assert {read.layer for read in units['head.mlp.1_(0, 32)_32'].reads} == {
        'head.gau.uv', 'head.cls_x', 'head.cls_y'}
    queries = units['head.gau.uv_(128, 144)_16']
    assert [member.name for member in queries.slices] == ['head.gau.gamma', 'head.gau.beta']
    assert not queries.per_sample and infos(both[1])['head.gau.uv_(128, 144)_16'].min() > 0


def test_every_consumer_gives_the_gradient_of_a_mask() -> None:
    """Against finite differences of masks at the inputs, sample by sample."""
    algorithm = clips(normalization='none')
    x = torch.randn(3, *CLIPS[1:])
    step(algorithm, x)
    kinds = short({unit.name: unit.per_sample for unit in algorithm.criterion.units})
    assert kinds == {'stem': True, 'strips': True, 'up': True, 'parts': False, 'mixer': True,
                     'base': False}, kinds
    found = short(infos(algorithm))
    for name, layers in (('stem', ['strips']), ('strips', ['up']), ('up', ['depthwise', 'parts'])):
        expected = _mask_gradients(algorithm.architecture, x, layers).square().sum(0)
        torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=1e-9)


def _mask_gradients(model: FisherClips, x: torch.Tensor, layers: list[str]) -> torch.Tensor:
    """Gradient of the loss to a mask [sample, channel] at the inputs of layers."""
    width = getattr(model, layers[0]).weight.shape[1 if layers[0] == 'strips' else 0]
    mask = torch.ones(len(x), width, requires_grad=True)

    def hook(layer: nn.Module, args: tuple) -> torch.Tensor:
        rows = mask.repeat_interleave(len(args[0]) // len(x), 0)
        return args[0] * rows.reshape(*rows.shape, *[1] * (args[0].dim() - 2))

    handles = [getattr(model, name).register_forward_pre_hook(hook) for name in layers]
    gradient, = torch.autograd.grad(model(x, mode='loss')['loss'], mask)
    for handle in handles:
        handle.remove()
    return gradient


def test_the_parameter_estimate_is_the_batch_sum_of_the_contributions() -> None:
    """A raw matrix, and scales and shifts of what is multiplied with each other."""
    algorithm = clips(normalization='none')
    model = algorithm.architecture
    kept, features = {}, model.features

    def keep(x: torch.Tensor) -> dict[str, torch.Tensor]:
        kept.update(features(x))
        for value in kept.values():
            value.retain_grad()
        return kept

    model.features = keep
    x = torch.randn(3, *CLIPS[1:])
    step(algorithm, x)
    found = short(infos(algorithm))
    expected = sum((kept[name] * kept[name].grad).sum((0, 1)) for name in ('query', 'key'))
    torch.testing.assert_close(found['base'], expected.square())
    product = model.mixer * model.mixer.grad
    torch.testing.assert_close(found['parts'], product.sum(1).square())


def test_a_masked_model_trains_as_the_sliced_one() -> None:
    """Zeros stay exactly zero under AdamW with decay and momentum, and nothing else changes."""
    algorithm = clips()
    model, x = algorithm.architecture.train(), torch.randn(3, *CLIPS[1:])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=.1)
    for _ in range(3):  # momentum to revive what is pruned next
        optimizer.zero_grad()
        model(x, mode='loss')['loss'].backward()
        optimizer.step()
    sizes = [unit.num_channels for unit in algorithm.mutator.mutable_units]
    algorithm.masks.add(torch.cat([torch.arange(size) % 2 == 1 for size in sizes]))
    algorithm.hold()
    small = slice_model(model, algorithm.mutator.graph, keep_masks(algorithm)).train()
    torch.testing.assert_close(small(x), model(x))
    for _ in range(3):
        algorithm.hold()
        optimizer.zero_grad()
        model(x, mode='loss')['loss'].backward()
        optimizer.step()
    moved = dict(model.named_parameters())['strips.weight'][:, 1::2]
    assert moved.abs().max() > 0, 'momentum alone would bring the channels back'
    algorithm.hold()
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for unit in algorithm.mutator.mutable_units:
        for member in unit.members:
            lost = tensors[member.name].index_select(member.dim, member.indices[1::2].flatten())
            assert lost.eq(0).all(), member.name
    small = slice_model(model, algorithm.mutator.graph, keep_masks(algorithm)).train()
    torch.testing.assert_close(small(x), model(x))


def test_masks_are_ordinary_state_and_apply_to_a_loaded_model() -> None:
    algorithm, other = clips(), clips()
    other.architecture.load_state_dict(FisherClips().state_dict())
    algorithm.masks.pruned[0] = True
    algorithm.criterion.info[1] = 3.
    x = torch.randn(2, *CLIPS[1:])
    before = other.architecture.eval()(x)
    state = {key: value for key, value in algorithm.state_dict().items()
             if not key.startswith('architecture.')}
    other.load_state_dict(state, strict=False)
    assert other.structure() == algorithm.structure()
    assert next(iter(other.structure().values())) == 5
    assert other.criterion.info[1] == 3.
    assert not torch.equal(other.architecture(x), before)
    assert other.architecture.stem.weight[0].eq(0).all()


def test_checkpoints_of_version_0_1_load() -> None:
    """They hold a float mask and the statistics of every unit."""
    algorithm, names = clips(), list(clips().mutator.choice_template)
    state = {f'architecture.{key}': value for key, value in
             algorithm.architecture.state_dict().items()}
    for i, unit in enumerate(algorithm.mutator.mutable_units):
        state[f'mutator.units.{i}.mutable_channel.mask'] = torch.ones(unit.num_channels)
        state[f'mutator.units.{i}.normalized_fisher_info'] = torch.full((unit.num_channels,), i)
    state['mutator.units.1.mutable_channel.mask'][2] = 0
    algorithm.load_state_dict(state, strict=False)
    assert algorithm.structure()[names[1]] == algorithm.mutator.choice_template[names[1]] - 1
    assert infos(algorithm)[names[3]].eq(3).all()


def test_loss_scale_cancels_for_both_kinds_of_statistics() -> None:
    algorithm, seen = clips(), []
    x = torch.randn(2, *CLIPS[1:])
    for scale in (1.0, 1024.0):
        algorithm.criterion.reset()
        algorithm.criterion.start_step()
        (algorithm.architecture.eval()(x, mode='loss')['loss'] * scale).backward()
        record(algorithm, batch=2, scale=scale)
        seen.append(algorithm.criterion.info.clone())
    assert seen[0].min() > 0
    torch.testing.assert_close(*seen, rtol=1e-3, atol=0)


def test_divisors_hold_and_narrow_units_stay_whole() -> None:
    algorithm = clips(divisor={'strips_(0, 8)_8': 4, 'base_(0, 4)_4': 8},
                      target=dict(kind='macs', ratio=0.4))
    step(algorithm, torch.randn(2, *CLIPS[1:]))
    algorithm.prune_at(1.0)
    counts = algorithm.structure()
    assert counts['strips_(0, 8)_8'] == 4 and counts['base_(0, 4)_4'] == 4
    assert sum(counts.values()) < sum(algorithm.mutator.choice_template.values())


@pytest.mark.parametrize('options, error, message', [
    (dict(divisor=0), StructureError, 'divisor must be a positive integer'),
    (dict(divisor={'stem': 4}), ValueError, "names \\['stem'\\], which are no units; units: stem"),
    (dict(min_ratio=1), ValueError, r'min_ratio must lie in \[0, 1\), got 1'),
    (dict(normalization='memory'), ValueError, 'must be one of flops, act, none'),
    (dict(keep=['neck2']), ValueError, "no module or parameter named 'neck2'"),
    (dict(target=dict(kind='macs', ratio=0.01)), ValueError, r'beyond reach.*0\.\d+ of the dense'),
    (dict(schedule=dict(begin=.5, end=.2)), ValueError, 'begin=0.5, end=0.2'),
    (dict(divisor=2, mutator=dict(type='mmrazor.GraphMutator')), ValueError,
     'divisor, demo_input and mutator are both set'),
])
def test_bad_options_are_refused(options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        clips(**options)


def test_a_model_with_nothing_to_prune_is_refused() -> None:
    with pytest.raises(NothingToPruneError, match='nothing to prune'):
        GraphMutator(demo_input=(1, 4)).prepare_from_supernet(nn.Linear(4, 2))


def test_a_layer_whose_rows_are_no_samples_is_named() -> None:
    algorithm = clips()
    algorithm.criterion.start_step()
    algorithm.architecture(torch.randn(3, *CLIPS[1:]), mode='loss')['loss'].backward()
    with pytest.raises(RuntimeError, match=r"layer 'strips' has 6 rows for 4 samples.*keep list"):
        record(algorithm, batch=4)


def test_a_unit_that_gets_no_gradient_is_named() -> None:
    algorithm = clips()
    algorithm.architecture.stem.requires_grad_(False)
    algorithm.architecture.norm.requires_grad_(False)
    algorithm.criterion.start_step()
    algorithm.architecture(torch.randn(2, *CLIPS[1:]), mode='loss')['loss'].backward()
    with pytest.raises(RuntimeError, match=r"unit 'stem_\(0, 6\)_6' got no gradient.*strips"):
        record(algorithm, batch=2)


def test_training_without_the_hook_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r'prunes nothing without its hook.*PruningHook'):
        clips().train()(torch.randn(2, *CLIPS[1:]), mode='loss')
