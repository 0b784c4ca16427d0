"""Builds the optimizer of a GETA run, and of the finetuning that follows."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmrazor.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS
from torch import nn
from torch.optim import Optimizer

from razor_ext.quantization import quantizer_handles

from .algorithm import GETA
from .forgetting import ForgetRule
from .hesso import HESSO
from .oto_backend import build_oto_optimizer
from .qasso import QASSO
from .saliency import Saliency
from .variants import VARIANTS, split_scales

ParamGroups = list[dict[str, Any]]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GETAOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Constructor for GETA, and for finetuning what it left.

    Ordinary parameters get their settings from `paramwise_cfg` as ever; those with equal settings
    share a param group. Quantizer scales form one of their own, without weight decay, whose
    learning rate is `optimizer.lr_quant`.

    `optimizer.type` is one of:

    - `QASSO`: any GETA algorithm. `variant` names torch's optimizer underneath ('sgd', 'adam',
      'adamw'), `saliency` and `rule` are arguments of `Saliency` and `ForgetRule`.
    - `HESSO`: prune only.
    - `OTOHESSO`, `OTOGETA`: the published optimizers over the same groups; prune only, without
      paramwise settings. `OTOGETA` needs `clone`, the folder of a clone of its repository.
    - `SGD`, `Adam`, `AdamW`: torch's, for the model of `CompressedModel`.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model.

        Raises:
            ValueError: a setting that does not fit the optimizer or the model.
        """
        _refuse_sharding(model)
        model = model.module if is_model_wrapper(model) else model
        options = dict(self.optimizer_cfg)
        kind = options.pop('type')
        kind = kind if isinstance(kind, str) else kind.__name__
        if kind not in BUILDERS:
            raise ValueError(f'optimizer type {kind!r}; this constructor knows '
                             f'{", ".join(BUILDERS)}')
        if kind.startswith('OTO') and self.paramwise_cfg:
            raise ValueError(f'{kind} has no settings by parameter: set '
                             'optim_wrapper.paramwise_cfg=None')
        groups: ParamGroups = []
        self.add_params(groups, model)
        optimizer = BUILDERS[kind](model, _merge(groups), options)
        return OPTIM_WRAPPERS.build({'type': 'OptimWrapper', **self.optim_wrapper_cfg},
                                    default_args=dict(optimizer=optimizer))

    def add_params(self, params: ParamGroups, module: nn.Module, *args: Any, **kwargs: Any) -> None:
        """Add the parameters of a module, unless none of them trains (a teacher)."""
        if any(parameter.requires_grad for parameter in module.parameters()):
            super().add_params(params, module, *args, **kwargs)


def _refuse_sharding(model: nn.Module) -> None:
    names = {base.__name__ for part in model.modules() for base in type(part).__mro__}
    names |= {type(parameter.data).__name__ for parameter in model.parameters()}
    found = names & {'FullyShardedDataParallel', 'FSDPModule', 'DTensor', 'DeepSpeedEngine'}
    if found:
        raise ValueError(f'the model is sharded ({", ".join(sorted(found))}): a channel is scored '
                         'and pruned over whole parameters, which no rank then has; train with '
                         'MMDistributedDataParallel')


def _merge(groups: ParamGroups) -> ParamGroups:
    """Join groups of equal settings: one fused step for each, not one for each parameter."""
    merged: dict[str, dict[str, Any]] = {}
    for group in groups:
        settings = {key: value for key, value in group.items() if key != 'params'}
        joined = merged.setdefault(repr(sorted(settings.items())), {**settings, 'params': []})
        joined['params'].extend(group['params'])
    return list(merged.values())


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
        options.update(target=target, divisor=mutator.divisor, min_channels=mutator.min_channels,
                       groups=mutator.channel_index(algorithm.architecture))
    return {'groups': None, 'plan': None, **options}


def build_qasso(model: nn.Module, groups: ParamGroups, options: dict[str, Any]) -> Optimizer:
    """Build QASSO over the groups and quantizers of a GETA algorithm."""
    algorithm = _geta('QASSO', model)
    if 'rule' in options:
        options['rule'] = ForgetRule(**options['rule'])
    if algorithm.quant_config is not None:
        handles = quantizer_handles(algorithm.architecture)
        options.update(handles=handles, bit_ranges=algorithm.bit_ranges(), extra_scales=[
            h.quantizer.zero_ratio for h in handles if h.quantizer.zero_ratio is not None])
    return QASSO(groups, **_pruning(algorithm, options))


def build_hesso(model: nn.Module, groups: ParamGroups, options: dict[str, Any]) -> Optimizer:
    """Build HESSO over the groups of a GETA algorithm."""
    algorithm = _prune_only('HESSO', model)
    options.pop('lr_quant', None)
    return HESSO(groups, **_pruning(algorithm, options))


def _build_published(name: str) -> Callable[[nn.Module, ParamGroups, dict[str, Any]], Optimizer]:
    def build(model: nn.Module, groups: ParamGroups, options: dict[str, Any]) -> Optimizer:
        kind = f'OTO{name.upper()}'
        algorithm = _prune_only(kind, model)
        stages, target, mutator = algorithm.stages, algorithm.target_cfg, algorithm.mutator
        lengths = (stages.warmup, stages.projection, stages.pruning)
        if not all(isinstance(length, int) for length in lengths):
            raise ValueError(f'{kind} must know its stages when it is built: give warmup, '
                             f'projection and pruning as steps, not {lengths}')
        if target['kind'] != 'sparsity' or not isinstance(mutator.divisor, int):
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


def _build_torch(variant: str) -> Callable[[nn.Module, ParamGroups, dict[str, Any]], Optimizer]:
    def build(model: nn.Module, groups: ParamGroups, options: dict[str, Any]) -> Optimizer:
        if isinstance(model, GETA):
            raise ValueError(f'optimizer {VARIANTS[variant].__name__} compresses nothing: a model '
                             f"of type GETA needs QASSO, with variant='{variant}'")
        lr_quant = options.pop('lr_quant', options.get('lr'))
        scales = [p for handle in quantizer_handles(model) for p in handle.quantizer.parameters()]
        return VARIANTS[variant](split_scales(groups, scales, lr_quant), **options)
    return build


#: How each `optimizer.type` is built.
BUILDERS: Mapping[str, Callable[[nn.Module, ParamGroups, dict[str, Any]], Optimizer]] = {
    'QASSO': build_qasso, 'HESSO': build_hesso,
    'OTOHESSO': _build_published('hesso'), 'OTOGETA': _build_published('geta'),
    **{kind.__name__: _build_torch(variant) for variant, kind in VARIANTS.items()},
}

