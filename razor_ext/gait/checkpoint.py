"""Official OpenGait checkpoints to ours and back, by parameter name."""
from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor

from .convert import NAME_MAPS
from .models import GaitRecognizer


class CheckpointError(ValueError):
    """A checkpoint that does not fit the model."""


def official_names(model: GaitRecognizer) -> dict[str, str]:
    """Official name of every entry of a model's state dict.

    Raises:
        CheckpointError: If the model is none that OpenGait has.
    """
    kind = type(model.backbone)
    name_of = next((NAME_MAPS[base] for base in kind.__mro__ if base in NAME_MAPS), None)
    if name_of is None:
        raise CheckpointError(f'OpenGait has no model with the backbone {kind.__name__}: those it '
                              f'has are {sorted(k.__name__ for k in NAME_MAPS)}')
    names = {}
    for key in model.state_dict():
        name = name_of(model, key)
        if name is None:
            raise CheckpointError(f'{key} of this model has no counterpart in an official '
                                  'checkpoint')
        names[key] = name
    return names


def from_official(model: GaitRecognizer, official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an official state dict for a model.

    A classifier for another number of subjects is left out, with a warning.

    Raises:
        CheckpointError: If an entry is missing, left over, or of another shape.
    """
    names = official_names(model)
    own = model.state_dict()
    missing = sorted(set(names.values()) - set(official))
    unknown = sorted(set(official) - set(names.values()))
    if missing or unknown:
        raise CheckpointError(f'the checkpoint does not fit the model: it lacks {missing[:8]} '
                              f'and has {unknown[:8]} besides; choose the config of its model')
    state = {}
    for key, name in names.items():
        mine, theirs = tuple(own[key].shape), tuple(official[name].shape)
        if mine == theirs:
            state[key] = official[name].clone()
        elif key == 'head.classifier.weight' and mine[:2] == theirs[:2]:
            print_log(f'the checkpoint classifies {theirs[2]} subjects, the model {mine[2]}: its '
                      'classifier is left out', logger='current', level=30)
        else:
            raise CheckpointError(f'{name} has shape {theirs}, {key} has {mine}')
    return state


def to_official(model: GaitRecognizer, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a model's state dict for OpenGait.

    Raises:
        CheckpointError: If the state dict is not the model's.
    """
    names = official_names(model)
    if set(state) != set(names):
        odd = sorted(set(state) ^ set(names))
        raise CheckpointError(f'the state dict is not that of the model; they differ in {odd[:8]}')
    return {name: state[key].clone() for key, name in names.items()}


def load_official(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of an official ``.pt`` file without running code it may hold.

    Raises:
        CheckpointError: If the file cannot be read so, or holds no ``model``.
    """
    # the scheduler's state holds a Counter, which only newer torch knows to be harmless
    safe = getattr(torch.serialization, 'safe_globals', None)
    try:
        with safe([Counter]) if safe else nullcontext():
            content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f'{path}: refused, or unreadable: {error}') from error
    state = content.get('model') if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: no official checkpoint: expected a dict with 'model'")
    return state


def save_atomically(content: dict, path: str | Path) -> None:
    """Write a checkpoint; it appears under its name only when complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        torch.save(content, scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
