"""GroupFisher on gait models by the shipped configs; its statistics are those of sequences."""
from __future__ import annotations

import json

import pytest
import torch
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS

from razor_ext.pruning import extract
from razor_ext.structure.slicing import static_copy

from .gait_compression import FAMILIES, load, train

pytestmark = pytest.mark.usefixtures('analysed_once')
UNITS = {'gaitbase': 9, 'gaitgl': 6}
PRUNE = {'model.checkpoint': None, 'model.divisor': 1, 'model.schedule.interval': 1,
         'default_hooks.pruning.interval': 1}


@pytest.mark.parametrize('family', FAMILIES)
def test_prune_extract_finetune(family, data, tmp_path) -> None:
    run = train(load(family, 'group_fisher_prune', data, tmp_path, **PRUNE))
    folder = tmp_path / 'compressed'
    counts = json.loads((folder / 'fix_subnet.json').read_text())
    graph = run.model.mutator.graph
    assert len(counts) == UNITS[family] and graph.macs(counts) <= 0.5 * graph.total_macs
    tuned = load(family, 'group_fisher_finetune', data, tmp_path / 'tuned', **{
        'model.compressed': str(folder)})
    init_default_scope(tuned.default_scope)
    masked, sliced = static_copy(run.model.architecture).eval(), MODELS.build(tuned.model).eval()
    extracted = extract(run.cfg, str(tmp_path / 'iter_12.pth'))[0].model
    x = torch.rand(2, 1, 7, 64, 44)
    with torch.no_grad():
        torch.testing.assert_close(sliced(x), masked(x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(extracted(x), sliced(x))
    tuned.train_cfg.max_iters = 1
    train(tuned)
    assert json.loads((tmp_path / 'tuned/compressed/fix_subnet.json').read_text()) == counts


@pytest.mark.parametrize('family', FAMILIES)
def test_statistics_are_those_of_sequences(family, data, tmp_path) -> None:
    """Frames and strips are folded into the batch: what is squared is the sum over a sequence."""
    cfg = load(family, 'group_fisher_prune', data, tmp_path, **PRUNE)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    algorithm = MODELS.build(cfg.model)
    model, criterion = algorithm.architecture.eval(), algorithm.criterion
    model.init_weights()
    index = algorithm.mutator.channel_index(model)

    def fisher(x: torch.Tensor) -> dict[str, torch.Tensor]:
        criterion.start_step()
        model(x).square().sum().backward()
        criterion.end_step()
        for unit in criterion.units:
            assert unit.per_sample, unit.name
        criterion.record(index, algorithm.masks.pruned, len(x), 1.)
        found = criterion.scores(index).clone().split(index.sizes)
        criterion.reset()
        return dict(zip(index.unit_names, found))

    x = torch.rand(3, 1, 6, 64, 44)
    together, alone = fisher(x), [fisher(x[i:i + 1]) for i in range(3)]
    assert len(together) == UNITS[family]
    for name, values in together.items():
        expected = sum(found[name] for found in alone)
        assert values.abs().max() > 0
        torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-5 * float(values.max()))
