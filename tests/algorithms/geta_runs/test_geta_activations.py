"""A joint run that exchanges activations, on an averaged model, and what becomes of it."""
from __future__ import annotations

import json
from pathlib import Path

import torch
from mmrazor.registry import MODELS
from tiny_geta import HOOKS, SHAPE, geta, geta_runner
from tiny_pose import batch, runner
from torch import nn

EMA = dict(type='EMAHook', momentum=0.2, update_buffers=True, priority=49)


def smooth(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.SiLU)]


def outputs(model: nn.Module) -> list[torch.Tensor]:
    inputs = model.data_preprocessor(batch(0, 2), False)['inputs']
    with torch.no_grad():
        return list(model.eval()(inputs, None))


def test_the_new_activations_follow_the_model(dense: Path, tmp_path: Path) -> None:
    pruning = tmp_path / 'prune'
    run = geta_runner(pruning, geta(dense, activation=dict(to='ReLU', begin=.1, end=.4)),
                      hooks=(*HOOKS, EMA))
    assert smooth(run.model.architecture)  # inside of the mixes
    run.train()
    exchanged = json.loads((pruning / 'compressed' / 'activations.json').read_text())
    assert set(exchanged.values()) == {'ReLU'}
    assert any(name.startswith('head') for name in exchanged)
    config = dict(type='mmrazor.CompressedModel', compressed=str(pruning))
    model = MODELS.build(config)
    assert not smooth(model)
    finetune = runner(tmp_path / 'finetune', config, epochs=1,
                      hooks=(dict(type='mmrazor.CompressedModelHook'), ))
    finetune.train()
    again = MODELS.build(dict(config, compressed=str(tmp_path / 'finetune')))
    assert not smooth(again)
    for found, wanted in zip(outputs(again), outputs(finetune.model)):
        torch.testing.assert_close(found, wanted)


def test_single_files_bring_the_activations_beside_them(dense: Path, tmp_path: Path) -> None:
    geta_runner(tmp_path, geta(dense, activation=dict(to='ReLU', begin=.1, end=.4))).train()
    folder = tmp_path / 'compressed'
    built = MODELS.build(dict(
        type='mmrazor.CompressedModel', architecture=geta()['architecture'], demo_input=SHAPE,
        fix_subnet=str(folder / 'fix_subnet.json'), quant=str(folder / 'quant.json'),
        checkpoint=str(folder / 'compressed.pth')))
    whole = MODELS.build(dict(type='mmrazor.CompressedModel', compressed=str(folder)))
    for found, wanted in zip(outputs(built), outputs(whole)):
        assert torch.equal(found, wanted)
