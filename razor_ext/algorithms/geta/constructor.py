"""The optimizers of a GETA run, for `CompressionOptimWrapperConstructor`.

`optim_wrapper.optimizer.type` is one of:

- `SGD`, `Adam`, `AdamW`, `RMSprop`, as in the config of the dense training: QASSO with that
  optimizer underneath and its options.
- `QASSO`: the same, the optimizer underneath named by `variant` ('sgd', 'adam', 'adamw',
  'rmsprop').
- `HESSO`: prune only.
- `OTOHESSO`, `OTOGETA`: the published optimizers over the same groups; prune only, without
  settings by parameter. `OTOGETA` needs `clone`, the folder of a clone of its repository.
"""
from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from razor_ext.pruning.optim import OPTIMIZER_BUILDERS, Builder, ParamGroups, optimizer_name
from razor_ext.quantization import quantizer_handles

from .algorithm import GETA
from .forgetting import ForgetRule
from .hesso import HESSO
from .oto_backend import build_oto_optimizer
from .qasso import QASSO
from .saliency import Saliency
from .variants import VARIANTS

#: Variant of QASSO by the type of the dense optimizer.
DENSE_TYPES = {kind.__name__: variant for variant, kind in VARIANTS.items()}


def _geta(kind: str, model: nn.Module) -> GETA:
    if not isinstance(model, GETA):
        raise ValueError(f'optimizer {kind} compresses a model of type GETA, not '
                         f'{type(model).__name__}; to finetune, take SGD, Adam or AdamW')
    return model


def _prune_only(kind: str, model: nn.Module) -> GETA:
    algorithm = _geta(kind, model)
    if algorithm.quant_config is not None or algorithm.target_cfg is None:
        raise ValueError(f'{kind} only prunes: set quant=None and a target, or take QASSO')
    return algorithm


def _pruning(algorithm: GETA, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments that QASSO and HESSO share."""
    if 'saliency' in options:
        options['saliency'] = Saliency(**options['saliency'])
    target = algorithm.build_target()
    if target is not None:
        mutator = algorithm.mutator
        options.update(target=target, divisor=mutator.divisor, min_channels=mutator.floors(),
                       groups=mutator.channel_index(algorithm.architecture))
    return {'groups': None, 'plan': None, **options}


@OPTIMIZER_BUILDERS.register_module(name='QASSO')
def build_qasso(model: nn.Module, groups: ParamGroups, kind: str | type,
                options: dict[str, Any]) -> Optimizer:
    """Build QASSO over the groups and quantizers of a GETA algorithm."""
    algorithm = _geta('QASSO', model)
    if 'rule' in options:
        options['rule'] = ForgetRule(**options['rule'])
    if algorithm.quant_config is not None:
        handles = quantizer_handles(algorithm.architecture)
        options.update(handles=handles, bit_ranges=algorithm.bit_ranges(),
                       choose_bits=algorithm.bit_chooser(), extra_scales=[
            h.quantizer.zero_ratio for h in handles if h.quantizer.zero_ratio is not None])
    return QASSO(groups, **_pruning(algorithm, options))


@OPTIMIZER_BUILDERS.register_module(name='GETA')
def build_from_dense(model: nn.Module, groups: ParamGroups, kind: str | type,
                     options: dict[str, Any]) -> Optimizer:
    """Build QASSO over a GETA algorithm from the optimizer of the dense training.

    Raises:
        ValueError: QASSO has no such variant, or the variant no such option.
    """
    variant = DENSE_TYPES.get(optimizer_name(kind))
    if variant is None:
        known = ('QASSO', 'HESSO', 'OTOHESSO', 'OTOGETA', *DENSE_TYPES)
        raise ValueError(f'optimizer type {optimizer_name(kind)!r}; this constructor knows '
                         f'{", ".join(known)} for a model of type GETA; give it one by '
                         "optim_wrapper=dict(_base_.geta_optim, optimizer=dict(_delete_=True, "
                         "type='AdamW', lr=...))")
    return build_qasso(model, groups, kind, {**options, 'variant': variant})


@OPTIMIZER_BUILDERS.register_module(name='HESSO')
def build_hesso(model: nn.Module, groups: ParamGroups, kind: str | type,
                options: dict[str, Any]) -> Optimizer:
    """Build HESSO over the groups of a GETA algorithm."""
    algorithm = _prune_only('HESSO', model)
    options.pop('lr_quant', None)
    return HESSO(groups, **_pruning(algorithm, options))


def _register_published(name: str) -> Builder:
    @OPTIMIZER_BUILDERS.register_module(name=f'OTO{name.upper()}')
    def build(model: nn.Module, groups: ParamGroups, kind: str | type,
              options: dict[str, Any]) -> Optimizer:
        kind = optimizer_name(kind)
        if any(set(group) != {'params'} for group in groups):
            raise ValueError(f'{kind} has no settings by parameter: set '
                             'optim_wrapper.paramwise_cfg=None')
        algorithm = _prune_only(kind, model)
        stages, target, mutator = algorithm.stages, algorithm.target_cfg, algorithm.mutator
        lengths = (stages.warmup, stages.projection, stages.pruning)
        if not all(isinstance(length, int) for length in lengths):
            raise ValueError(f'{kind} must know its stages when it is built: give warmup, '
                             f'projection and pruning as steps, not {lengths}')
        if target is None or target['kind'] != 'sparsity' or not isinstance(mutator.divisor, int):
            raise ValueError(f"{kind} knows target kind='sparsity' and one divisor for all units, "
                             f'not {target} and {mutator.divisor}')
        options.pop('lr_quant', None)
        return build_oto_optimizer(
            name, mutator.channel_index(algorithm.architecture),
            algorithm.architecture.named_parameters(),
            target_group_sparsity=target['ratio'], group_divisible=mutator.divisor,
            start_pruning_step=stages.warmup + stages.projection, pruning_steps=stages.pruning,
            pruning_periods=stages.pruning_periods, **options)
    return build


for _name in ('hesso', 'geta'):
    _register_published(_name)
