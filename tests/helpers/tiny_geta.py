"""GETA over the tiny RTMPose: configs, a dense checkpoint, and one analysis for all tests."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from tiny_pose import SIZE, batch, runner, tiny_rtmpose

from razor_ext.graph import analyze
from razor_ext.pruning import mutator
from razor_ext.quantization import structure_hash
from razor_ext.structure import rebuild

SHAPE = (1, 3, *SIZE)
HOOKS = (dict(type='mmrazor.GETACalibrationHook', num_batches=2),
         dict(type='mmrazor.GETAHook', interval=2))
#: Of 20 steps: warm-up to 3, projection to 8, joint to 16 (two periods of 4), then cool-down.
STAGES = dict(warmup=.15, projection=.25, pruning=.4, projection_periods=2, pruning_periods=2)
_GRAPHS: dict = {}


def _analyze_once(model: torch.nn.Module, inputs: object, keep: tuple = (), **options: object):
    key = (structure_hash(model), tuple(keep))
    if key not in _GRAPHS:
        _GRAPHS[key] = analyze(model, inputs, keep=keep, **options)
    return _GRAPHS[key]


def memoize_analysis(patch: Callable = setattr) -> None:
    """Analyse each structure once in this process."""
    for module in (mutator, rebuild):
        patch(module, 'analyze', _analyze_once)


def _plain_text(cfg: Config) -> str:
    """Stands in for `Config.pretty_text`, whose layout takes longer than these trainings."""
    return '\n'.join(f'{key} = {value!r}' for key, value in cfg.to_dict().items())


def quicken(patch: pytest.MonkeyPatch) -> None:
    """Make runs of this process quick: one thread, one analysis of each structure, plain dumps."""
    torch.set_num_threads(1)
    memoize_analysis(patch.setattr)
    patch.setattr(Config, 'pretty_text', property(_plain_text))


def without_grids(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of a quantized model without what its quantizers have learned."""
    return {key: value for key, value in state.items()
            if not any(part.endswith('_quantizer') for part in key.split('.'))}


def dense_checkpoint(path: Path) -> Path:
    """Write a dense tiny RTMPose whose batch norms have seen data, as a trained one's have."""
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(tiny_rtmpose()))
    model.init_weights()
    for module in model.modules():  # MMPose's own init lets a signal fade away in so small a model
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    data = model.data_preprocessor(batch(0, 8), True)
    with torch.no_grad():
        for _ in range(3):
            model(**data, mode='loss')
        for head in (model.head.cls_x, model.head.cls_y):
            head.weight.mul_(10)
    torch.save({'state_dict': model.state_dict()}, path)
    return path


def geta(dense: Path | None = None, **overrides: object) -> dict:
    """Return the config of a joint run: 4 to 8 bits, half the MACs."""
    architecture = tiny_rtmpose()
    if dense is not None:
        architecture['init_cfg'] = dict(type='Pretrained', checkpoint=str(dense))
    return dict(dict(
        _scope_='mmrazor', type='GETA', architecture=architecture,
        mutator=dict(type='GETAMutator', demo_input=SHAPE),
        quant=dict(weight_bits=(4, 8), activation_bits=(4, 8)),
        target=dict(kind='macs', ratio=0.5), stages=STAGES), **overrides)


def optim(kind: str = 'QASSO', wrapper: dict | None = None, **options: object) -> dict:
    """Return the optimizer settings of RTMPose, the pruning optimizer in the place of AdamW."""
    defaults = dict(type=kind, lr=1e-3, weight_decay=.05)
    if kind in ('QASSO', 'HESSO'):
        defaults.update(variant='adamw')
    if kind == 'QASSO':
        defaults.update(lr_quant=1e-3)
    return dict(dict(
        type='OptimWrapper', constructor='mmrazor.GETAOptimWrapperConstructor',
        optimizer={**defaults, **options}, clip_grad=dict(max_norm=35.),
        paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True)),
        **(wrapper or {}))


def geta_runner(work_dir: Path, model: dict, epochs: int = 5, hooks: tuple = HOOKS,
                **overrides: object) -> Runner:
    """Return a Runner of 20 steps in 5 epochs over a GETA config."""
    return runner(work_dir, model, epochs=epochs, hooks=hooks,
                  **{'optim_wrapper': optim(), **overrides})
