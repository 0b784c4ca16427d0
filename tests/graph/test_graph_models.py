"""Whole models: units, names, proofs, and counts against the really sliced model."""
from __future__ import annotations

import pytest
import torch

from razor_ext.graph import analyze, slice_model

from .graph_nets import ClipNet, FrameNet, ResNet, random_keep, rtmpose

MMRAZOR_UNITS = [
    'backbone.stem.0.conv_(0, 16)_16', 'backbone.stem.1.conv_(0, 16)_16',
    'backbone.stem.2.conv_(0, 32)_32', 'backbone.stage1.0.conv_(0, 64)_64',
    'backbone.stage1.1.short_conv.conv_(0, 32)_32', 'backbone.stage1.1.main_conv.conv_(0, 32)_32',
    'backbone.stage1.1.blocks.0.conv1.conv_(0, 32)_32',
    'backbone.stage1.1.final_conv.conv_(0, 64)_64', 'backbone.stage2.0.conv_(0, 128)_128',
    'backbone.stage2.1.short_conv.conv_(0, 64)_64', 'backbone.stage2.1.main_conv.conv_(0, 64)_64',
    'backbone.stage2.1.blocks.0.conv1.conv_(0, 64)_64',
    'backbone.stage2.1.blocks.1.conv1.conv_(0, 64)_64',
    'backbone.stage2.1.final_conv.conv_(0, 128)_128', 'backbone.stage3.0.conv_(0, 256)_256',
    'backbone.stage3.1.short_conv.conv_(0, 128)_128',
    'backbone.stage3.1.main_conv.conv_(0, 128)_128',
    'backbone.stage3.1.blocks.0.conv1.conv_(0, 128)_128',
    'backbone.stage3.1.blocks.1.conv1.conv_(0, 128)_128',
    'backbone.stage3.1.final_conv.conv_(0, 256)_256', 'backbone.stage4.0.conv_(0, 512)_512',
    'backbone.stage4.1.conv1.conv_(0, 256)_256', 'backbone.stage4.1.conv2.conv_(0, 512)_512',
    'backbone.stage4.2.short_conv.conv_(0, 256)_256',
    'backbone.stage4.2.main_conv.conv_(0, 256)_256',
    'backbone.stage4.2.blocks.0.conv1.conv_(0, 256)_256',
    'backbone.stage4.2.blocks.0.conv2.pointwise_conv.conv_(0, 256)_256',
    'backbone.stage4.2.final_conv.conv_(0, 512)_512']


def check_counts(model, inputs, graph, **options):
    """The polynomials must give the parameters and MACs of the really sliced model."""
    keep = random_keep(graph.units, 0.5, seed=5, uneven=True)
    counts = {name: int(mask.sum()) for name, mask in keep.items()}
    sliced = slice_model(model, graph, keep)
    assert sum(p.numel() for p in sliced.parameters()) == graph.params(counts)
    assert analyze(sliced, inputs, verify=False, **options).total_macs == graph.macs(counts)
    return sliced


def test_rtmpose_s_has_the_units_of_mmrazor_and_the_head():
    model, inputs = rtmpose('s'), torch.randn(1, 3, 256, 192)
    graph = analyze(model, inputs, verify=False)
    names = [unit.name for unit in graph.units]
    assert set(MMRAZOR_UNITS) <= set(names)
    assert set(names) - set(MMRAZOR_UNITS) == {
        'head.mlp.1_(0, 256)_256', 'head.gau.uv_(0, 1024)_512', 'head.gau.uv_(1024, 1152)_128'}
    assert graph.reachable_share > 0.99
    assert graph.prove(0.5) < 1e-9
    check_counts(model, inputs, graph)


@pytest.mark.slow
@pytest.mark.parametrize('size', ['t', 's', 'm'])
@pytest.mark.parametrize('data', ['coco', 'halpe26'])
def test_rtmpose_family(size, data):
    model, inputs = rtmpose(size, data), torch.randn(1, 3, 256, 192)
    graph = analyze(model, inputs)
    assert not graph.refused
    assert size != 's' or set(MMRAZOR_UNITS) <= {unit.name for unit in graph.units}
    assert graph.reachable_share > 0.99
    assert graph.prove(0.5) < 1e-9


@pytest.mark.smoke
@pytest.mark.parametrize('model, shape, units', [
    (ResNet((1, 1, 1, 1), 8), (1, 3, 32, 32), 13),
    (ResNet((1, 1), 8, groups=8), (1, 3, 32, 32), 5),
    (ClipNet(), (1, 1, 6, 16, 12), 6),
    (FrameNet(), (2, 1, 3, 16, 8), 7)], ids=['resnet', 'resnext', 'clips', 'frames'])
def test_units_prove_themselves_and_count_exactly(model, shape, units):
    torch.manual_seed(0)
    inputs = torch.randn(shape)
    graph = analyze(model, inputs)
    assert len(graph.units) == units
    assert not graph.refused
    assert graph.prove(0.5) < 1e-9
    check_counts(model.eval(), inputs, graph)


def test_resnet_50_reaches_everything():
    graph = analyze(ResNet(), torch.randn(1, 3, 64, 64), verify=False)
    assert len(graph.units) == 37
    assert graph.reachable_share > 0.9999  # all but the bias of the classes
    assert graph.prove(0.5) < 1e-9


def test_embedding_may_shrink_only_on_request():
    model, inputs = FrameNet(with_embedding=True), torch.randn(2, 1, 3, 16, 8)
    whole = analyze(model, inputs)
    assert 'fc.matrix_(0, 12)_12' not in {unit.name for unit in whole.units}
    free = analyze(model, inputs, free_outputs={0: [1]})
    unit = next(unit for unit in free.units if unit.name == 'fc.matrix_(0, 12)_12')
    assert [member.name for member in unit.outputs] == ['output.0']
    norm = next(member for member in unit.members if member.name == 'bn.weight')
    assert norm.indices.tolist() == [list(range(4 * c, 4 * c + 4)) for c in range(12)]
    assert free.prove(0.5) < 1e-9
    sliced = slice_model(model.eval(), free, {unit.name: torch.arange(12) % 3 > 0})
    assert sliced(inputs)[0].shape[1] == 8
