"""Builds the optimizer of a compression run from that of the dense training."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIMIZERS, Registry
from mmrazor.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS
from torch import nn
from torch.optim import Optimizer

from razor_ext.engine.finite import skip_bad_steps
from razor_ext.engine.run_models import unwrapped
from razor_ext.quantization import quantizer_handles, split_scales

from .paramwise import ParamGroups, find_param_constructor, grouped_by

Builder = Callable[[nn.Module, ParamGroups, Union[str, type], dict[str, Any]], Optimizer]

#: Builders of optimizers, by the name of an optimizer type or of a model class. One takes the
#: model, its param groups, the name of the optimizer type and the options of the optimizer.
OPTIMIZER_BUILDERS = Registry('builder of compression optimizers')
#: Keys of `optim_wrapper` that are options of the optimizer.
OPTIMIZER_KEYS = ('lr_quant', 'saliency', 'rule')
#: Those that only some algorithm knows.
ALGORITHM_KEYS = ('saliency', 'rule')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(
    name=['CompressionOptimWrapperConstructor', 'GETAOptimWrapperConstructor'])
class CompressionOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Constructor for every run that prunes, quantizes or finetunes.

    `optim_wrapper` is that of the dense training and keeps its settings, with further keys:

    - `lr_ratio`: factor on the learning rate of the dense training; 1 by default.
    - `lr_quant`: learning rate of quantizer scales. They form a param group of their own, without
      weight decay. By default that of QASSO, or else that of all parameters.
    - `param_constructor`: the constructor of the dense training where that is not MMEngine's
      default one, to group the parameters as it does. By default the one that reads the further
      keys of `paramwise_cfg` (`layer_decay_rate`, `force_default_settings`).
    - `saliency`, `rule`: of GETA alone, arguments of `Saliency` and `ForgetRule`.

    Ordinary parameters get their settings from `paramwise_cfg` as ever; those with equal settings
    share a param group. Which optimizer is built depends on the model: an algorithm that prunes by
    its optimizer has a builder in `OPTIMIZER_BUILDERS` (GETA makes QASSO of SGD, Adam, AdamW and
    RMSprop); any other model gets the optimizer of the config.

    Args:
        optim_wrapper_cfg: config of the optimizer wrapper. The keys above may also stand in its
            `optimizer`, except `lr_ratio`.
        paramwise_cfg: settings by parameter.

    Raises:
        ValueError: no optimizer, a key that stands in both places, `lr_ratio` without a learning
            rate, or a key of `paramwise_cfg` that no constructor reads.

    Example:
        >>> from torch import nn
        >>> wrapper = CompressionOptimWrapperConstructor(dict(
        ...     optimizer=dict(type='SGD', lr=0.1, momentum=0.9), lr_ratio=0.5))(nn.Linear(2, 2))
        >>> wrapper.get_lr()
        {'lr': [0.05]}
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        settings = dict(optim_wrapper_cfg)
        if not settings.get('optimizer'):
            raise ValueError('optim_wrapper has no optimizer: the config of the dense model trains '
                             'nothing; set optim_wrapper.optimizer, and train_cfg too')
        settings['optimizer'] = _optimizer_options(settings)
        self._param_constructor = find_param_constructor(
            settings.pop('param_constructor', None), paramwise_cfg or {})
        super().__init__(settings, paramwise_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model.

        Raises:
            ValueError: a setting that does not fit the optimizer or the model.
        """
        _refuse_sharding(model)
        model = unwrapped(model)
        options = dict(self.optimizer_cfg)
        kind = options.pop('type')
        groups = self._groups(model)
        builder = find_builder(kind, model)
        if builder is not build_dense:
            # MMEngine writes the scope of a base config into its optimizer, for the registry.
            options.pop('_scope_', None)
        optimizer = builder(model, _merge(groups), kind, options)
        return OPTIM_WRAPPERS.build({'type': 'OptimWrapper', **self.optim_wrapper_cfg},
                                    default_args=dict(optimizer=optimizer))

    def _groups(self, model: nn.Module) -> ParamGroups:
        if self._param_constructor is not None:
            return grouped_by(self._param_constructor, model, self.optimizer_cfg,
                              self.paramwise_cfg)
        if not self.paramwise_cfg:
            return [{'params': [p for p in model.parameters() if p.requires_grad]}]
        groups: ParamGroups = []
        self.add_params(groups, model)
        return groups

    def add_params(self, params: ParamGroups, module: nn.Module, *args: Any, **kwargs: Any) -> None:
        """Add the parameters of a module, unless none of them trains (a teacher)."""
        if any(parameter.requires_grad for parameter in module.parameters()):
            super().add_params(params, module, *args, **kwargs)


def _optimizer_options(settings: dict[str, Any]) -> dict[str, Any]:
    """Move this constructor's keys of an `optim_wrapper` into the options of its optimizer."""
    options = dict(settings['optimizer'])
    for key in OPTIMIZER_KEYS:
        if key not in settings:
            continue
        value = settings.pop(key)
        if key in options:
            raise ValueError(f'{key} is given twice: optim_wrapper.{key}={value!r} and '
                             f'optim_wrapper.optimizer.{key}={options[key]!r}; keep the first')
        options[key] = value
    ratio = settings.pop('lr_ratio', 1.)
    if ratio != 1:
        if options.get('lr') is None:
            raise ValueError(f'lr_ratio={ratio!r} is a factor on optim_wrapper.optimizer.lr, which '
                             'the config does not set; set it')
        options['lr'] *= ratio
    return options


def optimizer_name(kind: str | type) -> str:
    """Return the bare name of an optimizer type, which may be a class or have a scope."""
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def find_builder(kind: str | type, model: nn.Module) -> Builder:
    """Return the builder for an optimizer type and a model; by default `build_dense`.

    Args:
        kind: the optimizer's type, of the config.
        model: the model, which is no wrapper.
    """
    for name in (optimizer_name(kind), *(base.__name__ for base in type(model).__mro__)):
        builder = OPTIMIZER_BUILDERS.module_dict.get(name)
        if builder is not None:
            return builder
    return build_dense


def build_dense(model: nn.Module, groups: ParamGroups, kind: str | type,
                options: dict[str, Any]) -> Optimizer:
    """Build the optimizer of the config, quantizer scales in a group of their own.

    A step whose gradients are not finite is left out; see `skip_bad_steps`.

    Args:
        model: the model to train.
        groups: param groups of all its parameters.
        kind: any type in MMEngine's registry of optimizers.
        options: of that type, and `lr_quant`.

    Raises:
        ValueError: an option of an algorithm that prunes by its optimizer.
    """
    foreign = sorted(set(options) & set(ALGORITHM_KEYS))
    if foreign:
        raise ValueError(f'optim_wrapper has {", ".join(foreign)}, which only GETA knows, and the '
                         f'model is a {type(model).__name__}: remove it')
    lr_quant = options.pop('lr_quant', options.get('lr'))
    scales = [p for handle in quantizer_handles(model) for p in handle.quantizer.parameters()]
    optimizer = OPTIMIZERS.build(dict(options, type=kind,
                                      params=split_scales(groups, scales, lr_quant)))
    skip_bad_steps(optimizer)
    return optimizer


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
