"""The model and the call that are traced."""
from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def structure_copy(model: nn.Module) -> nn.Module:
    """Copy the modules of a model but not its parameters and buffers, which stay shared.

    The copy is in eval mode and its SyncBN layers are ordinary batch norms.
    """
    return _revert_sync_batchnorm(_copy(model)).eval()


def _copy(model: nn.Module) -> nn.Module:
    """`copy.deepcopy` of the modules, in a third of its time.

    Most of what a module holds are numbers and empty tables, which need no looking into.
    """
    memo: dict[int, Any] = {id(tensor): tensor
                            for tensor in (*model.parameters(), *model.buffers())}
    modules = list(model.modules())
    if any(_copies_itself(type(module)) for module in modules):
        return copy.deepcopy(model, memo)
    for module in modules:
        memo[id(module)] = type(module).__new__(type(module))
    for module in modules:
        clone = memo[id(module)].__dict__
        for name, value in vars(module).items():
            if type(value) in _ATOMS:
                clone[name] = value
            elif type(value) in _TABLES and not value:
                clone[name] = memo.setdefault(id(value), type(value)())
            elif name == '_modules':
                clone[name] = type(value)((key, child if child is None else memo[id(child)])
                                          for key, child in value.items())
            elif name in ('_parameters', '_buffers'):
                clone[name] = type(value)(value)
            else:
                clone[name] = copy.deepcopy(value, memo)
    return memo[id(model)]


_ATOMS = frozenset((bool, int, float, str, type(None), torch.dtype))
_TABLES = frozenset((dict, OrderedDict, set, list))


def _copies_itself(cls: type) -> bool:
    """Whether a module type says how it is copied."""
    return any(name in vars(base) for base in cls.__mro__ if base not in (nn.Module, object)
               for name in ('__deepcopy__', '__getstate__', '__reduce__', '__reduce_ex__',
                            '__getnewargs__', '__getnewargs_ex__'))


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm of any rank, as SyncBN is."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        return


def _revert_sync_batchnorm(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.SyncBatchNorm):
        plain = _BatchNorm(module.num_features, module.eps, module.momentum, affine=False,
                           track_running_stats=False)
        plain.affine, plain.track_running_stats = module.affine, module.track_running_stats
        plain._parameters, plain._buffers = module._parameters, module._buffers
        return plain
    for name, child in module.named_children():
        reverted = _revert_sync_batchnorm(child)
        if reverted is not child:
            module._modules[name] = reverted
    return module


def leaf_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return every parameter and buffer by name; a shared tensor appears once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def leaf_aliases(model: nn.Module) -> list[list[str]]:
    """Return the names of each parameter and buffer; a shared tensor or module has several."""
    names: dict[int, list[str]] = {}
    for found in (model.named_parameters, model.named_buffers):
        for name, tensor in found(remove_duplicate=False):
            names.setdefault(id(tensor), []).append(name)
    return list(names.values())


def call_with(model: nn.Module, state: Mapping[str, torch.Tensor], args: tuple,
              kwargs: Mapping[str, Any]) -> Any:
    """Call a model with other tensors in the place of its parameters and buffers.

    A module that is registered under two names gets them once: `torch.func.functional_call` does
    so once for each name, and afterwards leaves the tensors of the call in the module.

    Args:
        model: The model; it has its own tensors back when this returns.
        state: A tensor for each name of `leaf_tensors`.
        args: Positional arguments.
        kwargs: Keyword arguments.
    """
    new = {id(tensor): state[name] for name, tensor in leaf_tensors(model).items()}
    stores: list[dict[str, Any]] = [store for module in model.modules()
                                    for store in (module._parameters, module._buffers)]
    before = [dict(store) for store in stores]
    try:
        for store, own in zip(stores, before):
            store.update((name, new[id(tensor)]) for name, tensor in own.items()
                         if tensor is not None)
        return model(*args, **kwargs)
    finally:
        for store, own in zip(stores, before):
            store.clear()
            store.update(own)


def bind_inputs(model: nn.Module, example_inputs: Any) -> tuple[tuple, dict[str, Any]]:
    """Turn a tensor, a tuple of arguments or a dict of keyword arguments into a call.

    OpenMMLab models demand `data_samples` in `forward` even where it is not used; a plain call
    gives None for it.
    """
    if isinstance(example_inputs, Mapping):
        args: tuple[Any, ...] = ()
        kwargs = dict(example_inputs)
    elif isinstance(example_inputs, (tuple, list)):
        args, kwargs = tuple(example_inputs), {}
    elif isinstance(example_inputs, torch.Tensor):
        args, kwargs = (example_inputs, ), {}
    else:
        raise TypeError('example_inputs must be a tensor, a tuple of arguments or a dict of '
                        f'keyword arguments, not {type(example_inputs).__name__}')
    parameters = list(inspect.signature(model.forward).parameters.values())
    for parameter in parameters[len(args):]:
        if parameter.name == 'data_samples' and parameter.default is inspect.Parameter.empty:
            kwargs.setdefault('data_samples', None)
    return args, kwargs
