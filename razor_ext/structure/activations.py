"""Activations that a compression run has exchanged, and their file in the compressed folder."""
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from razor_ext.engine.json_file import JsonError, read_json

from .fix_subnet import StructureError

#: What an activation may become, by name.
TARGETS: dict[str, type[nn.Module]] = {
    'ReLU': nn.ReLU, 'ReLU6': nn.ReLU6, 'Hardswish': nn.Hardswish, 'Hardsigmoid': nn.Hardsigmoid}


def check_target(name: str, to: Any) -> type[nn.Module]:
    """Return the type that an activation becomes.

    Raises:
        StructureError: it is none that is known.
    """
    if to not in TARGETS:
        raise StructureError(f'activation {name!r}: {to!r} is none of {sorted(TARGETS)}')
    return TARGETS[to]


def replace_module(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put a module in the place of another one, under every name that this has.

    Args:
        model: holds it.
        name: one of its names.
        new: takes its place.
    """
    old = model.get_submodule(name)
    for each in [each for each, module in model.named_modules(remove_duplicate=False)
                 if module is old]:
        parent, _, child = each.rpartition('.')
        model.get_submodule(parent)._modules[child] = new


def exchange_activations(model: nn.Module, activations: Mapping[str, str]) -> None:
    """Put other activations into a dense model, in place.

    Args:
        model: the dense model.
        activations: name of the module -> name of what it becomes.

    Raises:
        StructureError: the model has no such module, or it has weights.
    """
    modules = dict(model.named_modules())
    for name, to in activations.items():
        check_target(name, to)
        if name not in modules or list(modules[name].children()) or list(
                modules[name].parameters()):
            raise StructureError(f'activations: the model has no activation {name!r}; the file '
                                 'belongs to another model')
    for name, to in activations.items():
        replace_module(model, name, TARGETS[to]())


def load_activations(source: str | os.PathLike | Mapping | None) -> dict[str, str]:
    """Read the activations that a run has exchanged.

    Args:
        source: path of an `activations.json`, its content, or None for none.

    Returns:
        Name of the module -> name of what it has become.

    Raises:
        StructureError: the file is missing, damaged, or names what is not known.
    """
    if source is None:
        return {}
    content: Any = source
    if not isinstance(source, Mapping):
        if not Path(source).is_file():
            raise StructureError(f'activation file {os.fspath(source)!r} does not exist; a run '
                                 'that exchanges activations writes it beside fix_subnet.json')
        try:
            content = read_json(source)
        except JsonError as error:
            raise StructureError(f'activation file {os.fspath(source)!r} is not valid JSON '
                                 f'({error}); write the folder again by '
                                 'tools/extract_compressed.py') from error
    if not isinstance(content, Mapping):
        raise StructureError(f'{source}: expected a mapping of module names to activations, got '
                             f'{type(content).__name__}')
    for name, to in content.items():
        check_target(name, to)
    return dict(content)
