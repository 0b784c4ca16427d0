"""The optimizer of a run, from the one that a user has made for the dense model."""
from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from razor_ext.pruning import OPTIMIZER_BUILDERS
from razor_ext.pruning.optim import find_builder

#: How torch's optimizers execute, which changes nothing of what they compute.
_EXECUTION = ('foreach', 'fused', 'capturable', 'differentiable', 'decoupled_weight_decay')


def check_unused(optimizer: Optimizer, model: nn.Module) -> None:
    """Refuse an optimizer that is not of a model alone, or has been used.

    Raises:
        ValueError: it has taken steps, has a scheduler, or trains other parameters.
    """
    if optimizer.state:
        raise ValueError(f'the {type(optimizer).__name__} has taken steps already, and what it '
                         'has gathered would be lost; give a new one')
    if any('initial_lr' in group for group in optimizer.param_groups):
        raise ValueError(f'a scheduler holds this {type(optimizer).__name__}; make the scheduler '
                         'after compress(), of the optimizer that it returns')
    own = {id(parameter) for parameter in model.parameters()}
    foreign = sum(id(parameter) not in own for group in optimizer.param_groups
                  for parameter in group['params'])
    if foreign:
        raise ValueError(f'{foreign} parameters of the {type(optimizer).__name__} are none of the '
                         f'{type(model).__name__}; train them by an optimizer of their own')


def build_optimizer(algorithm: nn.Module, optimizer: Optimizer, options: dict[str, Any]
                    ) -> Optimizer:
    """Return what trains a pruning algorithm in the place of the optimizer of its dense model.

    Args:
        algorithm: the algorithm.
        optimizer: over parameters of the dense model.
        options: of the algorithm's optimizer (`lr_quant`, `saliency`, `rule`).

    Returns:
        `optimizer` itself, where the algorithm goes along with any.

    Raises:
        ValueError: the algorithm knows no such optimizer, or an option is of none.
    """
    kind = type(optimizer)
    builder = find_builder(kind, algorithm)
    if builder not in OPTIMIZER_BUILDERS.module_dict.values():
        if options:
            raise ValueError(f'{", ".join(options)}: {type(algorithm).__name__} leaves the '
                             'optimizer as it is; remove it')
        return optimizer
    settings = _settings(optimizer)
    groups = [{key: value for key, value in group.items() if key == 'params' or key in settings}
              for group in optimizer.param_groups]
    return builder(algorithm, groups, kind, {**settings, **options})


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    # What is off is left out: the optimizer to come may not have it.
    return {key: value for key, value in optimizer.defaults.items()
            if key not in _EXECUTION and value is not False and value is not None}
