"""The dependency graph sees all of a gait model: what compression builds on."""
from __future__ import annotations

import pytest
import torch

from razor_ext.gait.models import PartLinear
from razor_ext.graph import analyze, slice_model

from .gait_builders import ZOO, build, gaitbase, gaitgl, plain

MODELS = {
    'gaitbase': (gaitbase(5, (4, 6, 8, 10), 6), 9), 'plain': (plain(5, (4, 6, 8), 6), 7),
    'gaitgl': (gaitgl(5, (4,), ((6,), (8,), (8,))), 6),
    'gaitgl-oumvlp': (gaitgl(5, (4, 4), ((6, 6), (8, 8), (10, 10)), 2), 10),
}


@pytest.mark.parametrize('output', ['logits', 'embedding'])
@pytest.mark.parametrize('name', MODELS)
def test_units(name, output):
    cfg, count = MODELS[name]
    model = build({**cfg, 'tensor_output': output})
    x = torch.rand(2, 1, 6, 64, 44)
    graph = analyze(model, x)
    # where the embedding is the output its channels stay, and with them one unit
    assert len(graph.units) == count - (output == 'embedding')
    assert_slicing_is_masking(model, graph, x)


@pytest.mark.parametrize(('name', 'output', 'count'), [
    ('deepgaitv2-2d', 'logits', 10), ('deepgaitv2-p3d', 'logits', 10),
    ('deepgaitv2-3d', 'embedding', 9), ('skeletongait', 'logits', 10),
    ('skeletongaitpp', 'logits', 13), ('gaitset', 'embedding', 8),
    ('gaitpart', 'embedding', 38), ('gln', 'embedding', 10), ('gln-compact', 'logits', 12)])
def test_units_of_the_zoo_hold_every_parameter(name, output, count):
    model = build({**ZOO[name], 'tensor_output': output})
    x = torch.rand(2, model.backbone.in_channels, 6, 64, 44)
    graph = analyze(model, x)
    assert len(graph.units) == count and not graph.refused
    if output == 'logits' or 'deepgaitv2' not in name:  # else the classifier is not reached
        assert graph.reachable_share == 1
    assert_slicing_is_masking(model, graph, x)


def test_units_of_multigaitpp():
    """The channels that a minimum and a maximum run over stay, with all that scores them."""
    model = build({**ZOO['multigaitpp'], 'tensor_output': 'logits'})
    x = torch.rand(2, 4, 6, 64, 44)
    graph = analyze(model, x)
    assert len(graph.units) == 25 and not graph.refused and graph.reachable_share > 0.98
    assert any(entry.reason == 'amin over the channels' and entry.source.split(':')[0].endswith(
        'fusion.py') for entry in graph.frozen)
    assert_slicing_is_masking(model, graph, x)


def assert_slicing_is_masking(model, graph, x):
    """Remove a random half of every unit's channels, and set the same ones to zero."""
    for unit in graph.units:
        assert not any(m.name.endswith(('fc.weight', 'classifier.weight')) and m.dim == 0
                       for m in unit.members), 'parts are no channels'
    generator = torch.Generator().manual_seed(0)
    keep = {u.name: torch.rand(u.num_channels, generator=generator) > 0.5 for u in graph.units}
    for mask in keep.values():
        mask[0] = True
    sliced = slice_model(model, graph, keep).eval()
    with torch.no_grad():
        for unit in graph.units:
            dropped = ~keep[unit.name]
            for member in unit.members:
                tensor = model.get_parameter(member.name) if member.name in dict(
                    model.named_parameters()) else model.get_buffer(member.name)
                rows = member.indices[dropped].flatten()
                tensor.index_fill_(member.dim, rows, 0.)
        assert torch.allclose(sliced(x), model(x), atol=1e-5)
    before, after = ([m for m in net.modules() if isinstance(m, PartLinear)]
                     for net in (model, sliced))
    assert [m.num_parts for m in before] == [m.num_parts for m in after]
    assert after[0].in_channels < before[0].in_channels
