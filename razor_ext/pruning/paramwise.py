"""Param groups as the optimizer constructors of other packages make them."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmrazor.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

ParamGroups = list[dict[str, Any]]

#: Keys of `paramwise_cfg` that MMEngine's own constructor reads.
DEFAULT_KEYS = frozenset((
    'custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult',
    'dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate'))
#: Constructors by a further key that they read; the first one that is registered counts.
CONSTRUCTORS: Mapping[str, tuple[str, ...]] = {
    'layer_decay_rate': ('LayerDecayOptimWrapperConstructor',
                         'LearningRateDecayOptimWrapperConstructor'),
    'decay_type': ('LearningRateDecayOptimizerConstructor', ),
    'force_default_settings': ('ForceDefaultOptimWrapperConstructor', )}
#: What such a constructor writes into its groups for its own log.
_DESCRIPTIONS = ('param_names', 'group_name', 'lr_scale')


def find_param_constructor(name: str | None, paramwise_cfg: Mapping[str, Any]
                           ) -> type[DefaultOptimWrapperConstructor] | None:
    """Return the constructor that groups parameters as a `paramwise_cfg` says.

    Args:
        name: its name; None to find it by the keys.
        paramwise_cfg: settings by parameter.

    Returns:
        The constructor of the default scope; None for MMEngine's own rules.

    Raises:
        ValueError: there is no such constructor, or none for a key.
    """
    further = sorted(set(paramwise_cfg) - DEFAULT_KEYS)
    if name is None and not further:
        return None
    known = (name, ) if name is not None else tuple(
        known for key in further for known in CONSTRUCTORS.get(key, ()))
    with OPTIM_WRAPPER_CONSTRUCTORS.switch_scope_and_registry(None) as registry:
        found = next(filter(None, map(registry.get, known)), None)
    if found is not None:
        return found
    if name is not None:
        raise ValueError(f'param_constructor={name!r} is no optimizer constructor that is '
                         'registered; give the `constructor` of the dense training')
    raise ValueError(f'paramwise_cfg has {", ".join(further)}, which MMEngine does not read: set '
                     'optim_wrapper.param_constructor to the `constructor` of the dense training, '
                     'which does, or remove the keys')


def grouped_by(kind: type[DefaultOptimWrapperConstructor], model: nn.Module,
               optimizer_cfg: Mapping[str, Any], paramwise_cfg: Mapping[str, Any]) -> ParamGroups:
    """Group the parameters of a model by the rules that a constructor has for the dense one.

    Args:
        kind: the constructor.
        model: an algorithm over the dense model, or a model itself.
        optimizer_cfg: options of the optimizer, `lr` and `weight_decay` among them.
        paramwise_cfg: settings by parameter.
    """
    dense = getattr(model, 'architecture', model)
    groups: ParamGroups = []
    kind(dict(optimizer=dict(optimizer_cfg)), dict(paramwise_cfg)).add_params(groups, dense)
    groups = [{key: value for key, value in group.items() if key not in _DESCRIPTIONS}
              for group in groups]
    taken = {id(parameter) for parameter in dense.parameters()}
    groups.append({'params': [parameter for parameter in model.parameters()
                              if parameter.requires_grad and id(parameter) not in taken]})
    return [group for group in groups if group['params']]
