"""The plain optimizers underneath: torch's own, so that nothing pruned means nothing changed."""
from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

VARIANTS: dict[str, type] = {'sgd': SGD, 'adam': Adam, 'adamw': AdamW, 'rmsprop': RMSprop}
IMPLEMENTATIONS = ('auto', 'foreach', 'fused')


def supports_fused(variant: type, device: torch.device) -> bool:
    """Whether this torch has a fused step of the optimizer for the device."""
    param = torch.nn.Parameter(torch.zeros(1, device=device))
    param.grad = torch.zeros_like(param)
    try:
        variant([param], lr=0., fused=True).step()
    except (TypeError, RuntimeError):
        return False
    return True


def make_defaults(variant: str, implementation: str, device: torch.device,
                  options: dict[str, Any]) -> dict[str, Any]:
    """Defaults of one of torch's optimizers, validated by torch itself.

    Args:
        variant: ``'sgd'``, ``'adam'``, ``'adamw'`` or ``'rmsprop'``.
        implementation: ``'foreach'``, ``'fused'``, or ``'auto'``: fused where torch has it. On CUDA
            only a fused step can be skipped (gradients that are not finite) without asking the
            device; a foreach step asks once.
        device: Of the parameters.
        options: Keyword arguments of torch's optimizer.

    Raises:
        ValueError: An unknown variant, implementation or option.
    """
    if variant not in VARIANTS:
        raise ValueError(f'variant={variant!r}; known: {", ".join(VARIANTS)}')
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f'implementation={implementation!r}; known: {", ".join(IMPLEMENTATIONS)}')
    kind = VARIANTS[variant]
    known = set(inspect.signature(kind).parameters) - {
        'params', 'foreach', 'fused', 'amsgrad', 'maximize', 'capturable', 'differentiable',
        'decoupled_weight_decay'}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f'{variant} has no option {", ".join(unknown)}; known: '
                         f'{", ".join(sorted(known))}')
    fused = implementation != 'foreach' and supports_fused(kind, device)
    if implementation == 'fused' and not fused:
        raise ValueError(f"implementation='fused': this torch has no fused {variant} for {device}")
    mode = {'fused': True} if fused else {'foreach': True}
    return kind([torch.nn.Parameter(torch.zeros(1))], **options, **mode).defaults


def make_base(variant: str, param_groups: list[dict[str, Any]],
              options: dict[str, Any]) -> Optimizer:
    """Torch's optimizer over existing groups, which already hold every default."""
    return VARIANTS[variant](param_groups, **options)


def descent_directions(variant: str, param_groups: Sequence[dict[str, Any]], state: dict,
                       params: Sequence[Tensor], before: Sequence[Tensor]) -> list[Tensor]:
    """The direction v of the step just taken (the update is -lr * v), without decoupled decay.

    Args:
        variant: See :func:`make_defaults`.
        param_groups, state: Of the optimizer, after its step.
        params: Parameters asked for.
        before: Their values before the step.

    Returns:
        One tensor per parameter, zeros where it had no gradient or none that was finite.
    """
    group_of = {id(p): group for group in param_groups for p in group['params']}
    result = []
    for param, old in zip(params, before):
        group = group_of.get(id(param))
        if group is None or param.grad is None:
            result.append(torch.zeros_like(param))
        elif variant == 'sgd':
            result.append(_sgd_direction(group, state.get(param, {}), param.grad, old))
        elif variant == 'rmsprop':
            result.append(_rmsprop_direction(group, state.get(param, {}), param.grad, old))
        else:
            result.append(_adam_direction(group, state.get(param, {}), param))
    return [torch.nan_to_num(v, nan=0., posinf=0., neginf=0.) for v in result]


def _sgd_direction(group: dict[str, Any], state: dict, grad: Tensor, old: Tensor) -> Tensor:
    direction = grad.add(old, alpha=group['weight_decay']) if group['weight_decay'] else grad
    buffer = state.get('momentum_buffer')
    if not group['momentum'] or buffer is None:
        return direction
    return direction.add(buffer, alpha=group['momentum']) if group['nesterov'] else buffer


def _adam_direction(group: dict[str, Any], state: dict, param: Tensor) -> Tensor:
    steps = float(state['step']) if 'step' in state else 0.
    if not steps:
        return torch.zeros_like(param)
    first, second = (1 - beta ** steps for beta in group['betas'])
    return (state['exp_avg'] / first) / ((state['exp_avg_sq'] / second).sqrt() + group['eps'])


def _rmsprop_direction(group: dict[str, Any], state: dict, grad: Tensor, old: Tensor) -> Tensor:
    if 'square_avg' not in state:
        return torch.zeros_like(old)
    if group['momentum']:
        return state['momentum_buffer']
    direction = grad.add(old, alpha=group['weight_decay']) if group['weight_decay'] else grad
    square = state['square_avg']
    if group['centered']:
        square = square.addcmul(state['grad_avg'], state['grad_avg'], value=-1)
    return direction / (square.sqrt() + group['eps'])
