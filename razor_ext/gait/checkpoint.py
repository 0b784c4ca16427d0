"""Official OpenGait checkpoints to ours and back, by parameter name."""
from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from razor_ext.compat import safe_load
from razor_ext.engine.atomic import atomic_write

from .convert import NAME_MAPS
from .convert.section import shown
from .models import GaitRecognizer

#: How data-parallel training prefixes the names.
_WRAPPED = 'module.'
_COUNTER = '.num_batches_tracked'


class CheckpointError(ValueError):
    """A checkpoint that does not fit the model."""


def official_names(model: GaitRecognizer) -> dict[str, str]:
    """Official name of every entry of a model's state dict.

    Raises:
        CheckpointError: If the model is none that OpenGait has.
    """
    # a neck or a pooling of its own names a model more closely than a backbone that several share
    kinds = [type(part) for part in (model.neck, model.pooling, model.backbone)]
    name_of = next((NAME_MAPS[base] for kind in kinds for base in kind.__mro__
                    if base in NAME_MAPS), None)
    if name_of is None:
        raise CheckpointError(f'OpenGait has no model with the backbone {kinds[-1].__name__}: '
                              f'those it has are {sorted(k.__name__ for k in NAME_MAPS)}')
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

    A classifier for another number of subjects is left out, with a warning. Batches that old files
    do not count are counted from 0.

    Raises:
        CheckpointError: If an entry is missing, left over, or of another shape.
    """
    names = official_names(model)
    own = model.state_dict()
    official = _with_counters(official, {names[key]: value for key, value in own.items()})
    missing = sorted(set(names.values()) - set(official))
    unknown = sorted(set(official) - set(names.values()))
    if missing or unknown:
        raise CheckpointError(f'the checkpoint does not fit the model: it lacks {missing[:8]} '
                              f'and has {shown(unknown[:8])} besides; choose the config of its '
                              'model')
    state = {}
    for key, name in names.items():
        mine, theirs = tuple(own[key].shape), tuple(official[name].shape)
        if mine == theirs:
            state[key] = official[name].clone()
        elif key == 'head.classifier.weight' and _but_for_classes(mine) == _but_for_classes(theirs):
            classes = 0 if len(mine) == 2 else 2
            print_log(f'the checkpoint classifies {theirs[classes]} subjects, the model '
                      f'{mine[classes]}: its classifier is left out', logger='current', level=30)
        else:
            raise CheckpointError(f'{name} has shape {theirs}, {key} has {mine}')
    return state


def _but_for_classes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a classifier, ``[classes, c]`` or ``[p, c, classes]``, without the classes."""
    return (2, *shape[1:]) if len(shape) == 2 else (len(shape), *shape[:2], *shape[3:])


def to_official(model: GaitRecognizer, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a model's state dict for OpenGait.

    Raises:
        CheckpointError: If the state dict is not the model's, by names or by shapes.
    """
    names, own = official_names(model), model.state_dict()
    state = _with_counters(state, own)
    if set(state) != set(names):
        odd = sorted(set(state) ^ set(names))
        raise CheckpointError('the state dict is not that of the model; they differ in '
                              f'{shown(odd[:8])}')
    for key, value in own.items():
        if state[key].shape != value.shape:
            hint = ('; give --num-classes' if key == 'head.classifier.weight' else
                    '; a pruned model has no official form')
            raise CheckpointError(f'{key} has shape {tuple(state[key].shape)}, that of the model '
                                  f'{tuple(value.shape)}{hint}')
    return {name: state[key].clone() for key, name in names.items()}


def _with_counters(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the numbers of batches that BatchNorm has seen, which files of old torch lack."""
    counters = {key: torch.zeros_like(value, device='cpu') for key, value in own.items()
                if key.endswith(_COUNTER) and key not in state}
    return {**state, **counters}


def load_official(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of an official ``.pt`` file without running code it may hold.

    A state dict alone is taken too.

    Raises:
        CheckpointError: If the file cannot be read so, holds no weights, or not finite ones.
    """
    content = _load(path)
    if isinstance(content, dict) and 'state_dict' in content:
        raise CheckpointError(f"{path}: no official checkpoint: expected a dict with 'model', "
                              "found one of ours with 'state_dict'; --to-official goes the other "
                              'way')
    state = content.get('model') if isinstance(content, dict) and 'model' in content else content
    return _checked(state, path, "no official checkpoint: expected a dict with 'model'")


def load_own(path: str | Path) -> tuple[dict[str, Tensor], int]:
    """Read the weights of one of our checkpoints, and the iteration it was written at.

    A state dict alone is taken too, of iteration 0.

    Raises:
        CheckpointError: If the file cannot be read so, holds no weights, or not finite ones.
    """
    content = _load(path)
    if isinstance(content, dict) and isinstance(content.get('model'), dict):
        raise CheckpointError(f"{path}: is an official checkpoint already: expected one of ours, "
                              "with 'state_dict'")
    state, meta = content, None
    if isinstance(content, dict) and 'state_dict' in content:
        state, meta = content['state_dict'], content.get('meta')
    iteration = meta.get('iter', 0) if isinstance(meta, dict) else 0
    state = _checked(state, path, "no checkpoint: expected a dict with 'state_dict'")
    return state, int(iteration) if isinstance(iteration, (int, np.integer)) else 0


def _load(path: str | Path) -> Any:
    try:
        _check_sums(path)
        return safe_load(str(path), map_location='cpu', allow_unsafe=False)
    except Exception as error:  # a corrupted file can raise almost anything
        reason = ' '.join(str(error).split())[:400]
        raise CheckpointError(f'{path}: refused, or unreadable: {type(error).__name__}: '
                              f'{reason}') from error


def _check_sums(path: str | Path) -> None:
    """Raise an error for a damaged entry of a zip file, whose checksums torch does not look at."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f'its entry {shown(damaged)} is damaged')


def _checked(state: object, path: str | Path, expected: str) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not state or not all(
            isinstance(key, str) and isinstance(value, Tensor) and value.layout == torch.strided
            and not value.is_quantized for key, value in state.items()):
        raise CheckpointError(f'{path}: {expected}, found {_kind(state)}')
    for key, value in state.items():
        if (value.is_floating_point() or value.is_complex()) and not torch.isfinite(value).all():
            raise CheckpointError(f'{path}: {shown(key)} is not finite; the run has diverged')
    if all(key.startswith(_WRAPPED) for key in state):
        state = {key[len(_WRAPPED):]: value for key, value in state.items()}
    return state


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return f'one with {shown(list(value)[:5])}'
    return type(value).__name__


def save_atomically(content: dict, path: str | Path) -> None:
    """Write a checkpoint; it appears under its name only when complete."""
    with atomic_write(path) as temporary:
        torch.save(content, temporary)
