"""Analyse, prune and rebuild the toy family's model; prints what came of it as JSON.

Nothing here imports the family: its entry point does.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from mmengine.runner import Runner

import razor_ext  # noqa: F401  (imports every family)
from razor_ext.graph import analyze
from razor_ext.quantization import fix_bits
from razor_ext.registry import MODELS
from razor_ext.structure.rebuild import build_demo_input
from razor_ext.structure.slicing import static_copy

DENSE = dict(_scope_='razor_ext', type='ToyRegressor')
#: Of 20 steps: warm-up to 3, projection to 8, joint to 16 (two periods of 4), then cool-down.
STAGES = dict(warmup=.15, projection=.25, pruning=.4, projection_periods=2, pruning_periods=2)


def prune(work_dir: Path) -> Runner:
    """Run GETA for 20 steps: 4 to 8 bits, half the MACs."""
    runner = Runner.from_cfg(dict(
        default_scope='razor_ext', work_dir=str(work_dir), experiment_name='toy',
        log_level='ERROR', randomness=dict(seed=0),
        model=dict(
            _scope_='mmrazor', type='GETA', architecture=DENSE, stages=STAGES,
            mutator=dict(type='GETAMutator', demo_input=dict(type='FamilyDemoInput')),
            quant=dict(weight_bits=(4, 8), activation_bits=(4, 8)),
            target=dict(kind='macs', ratio=0.5)),
        train_dataloader=dict(
            batch_size=8, num_workers=0, dataset=dict(type='ToySines'),
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=5),
        optim_wrapper=dict(
            type='OptimWrapper', constructor='mmrazor.GETAOptimWrapperConstructor',
            optimizer=dict(type='QASSO', variant='sgd', lr=1e-2, lr_quant=1e-3)),
        custom_hooks=[dict(type='mmrazor.GETACalibrationHook', num_batches=2),
                      dict(type='mmrazor.GETAHook', interval=5)]))
    runner.train()
    return runner


def main(work_dir: Path) -> None:
    torch.manual_seed(0)
    dense = MODELS.build(DENSE).eval()
    graph = analyze(dense, build_demo_input(None).get_data(dense))
    runner = prune(work_dir)
    masked = static_copy(runner.model.architecture).eval()
    fix_bits(masked)
    folder = work_dir / 'compressed'
    sliced = MODELS.build(dict(
        _scope_='mmrazor', type='CompressedModel', compressed=str(folder))).eval()
    x = torch.randn(4, 2, 32)
    with torch.no_grad():
        difference = float((sliced(x) - masked(x)).abs().max())
    structure = json.loads((folder / 'fix_subnet.json').read_text())
    print('RESULT ' + json.dumps(dict(
        units={unit.name: unit.num_channels for unit in graph.units}, structure=structure,
        macs=graph.macs(structure) / graph.total_macs, difference=difference,
        out_channels=sliced.mix.out_channels, weight=list(sliced.mix.weight.shape),
        quantized=sorted(json.loads((folder / 'quant.json').read_text())['layers']))))


if __name__ == '__main__':
    main(Path(sys.argv[1]))
