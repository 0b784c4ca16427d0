"""RepVGG: pruned with its branches or without them, and re-parametrised after it."""
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from tiny_classifier import SIZE, tiny_repvgg
from torch import nn

from razor_ext.deploy.convert import branches_kept
from razor_ext.graph import analyze, slice_model

IMAGES = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def build(**backbone: object) -> nn.Module:
    """Build the small RepVGG in eval mode, its norms with statistics of their own."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(tiny_repvgg(**backbone))
    model.train()(IMAGES)
    return model.eval()


@pytest.mark.parametrize('deploy', [False, True])
def test_it_is_reparametrised_after_it_was_sliced(deploy):
    model = build()
    if deploy:
        model.backbone.switch_to_deploy()
    graph = analyze(model, IMAGES[:1])
    assert graph.reachable_share > .999
    small = slice_model(model, graph, {
        unit.name: torch.arange(unit.num_channels) % 2 == 0 for unit in graph.units})
    block = small.backbone.stage_2[0]
    assert (block.in_channels, block.out_channels) == (4, 8)
    merged = copy.deepcopy(small)
    merged.backbone.switch_to_deploy()
    with torch.no_grad():
        torch.testing.assert_close(merged(IMAGES), small(IMAGES))


def test_branches_are_kept_for_integers():
    model = build()
    with branches_kept(model):
        model.backbone.switch_to_deploy()
        assert not model.backbone.stage_2[0].deploy
    model.backbone.switch_to_deploy()
    assert model.backbone.stage_2[0].deploy
    with branches_kept(nn.Linear(1, 1)):
        pass
