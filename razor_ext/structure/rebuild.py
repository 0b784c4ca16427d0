"""Rebuild a compressed model from the dense one, its structure file and its quantization file."""
from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from razor_ext.compat.safe_load import UnsafeCheckpointError
from razor_ext.graph import ChannelUnit, analyze, proof_folder, slice_units

from .demo_input import build_demo_input
from .fix_subnet import StructureError, check_structure

__all__ = ['UnprunedError', 'build_demo_input', 'find_units', 'load_sliced', 'load_state',
           'read_checkpoint', 'read_state', 'slice_structure']


class UnprunedError(RuntimeError):
    """A model or checkpoint that should have been pruned is whole."""


def find_units(model: nn.Module, demo_input: Sequence[int] | Mapping | None = None,
               keep: Sequence[str] = ()) -> list[ChannelUnit]:
    """Analyse a dense model.

    Args:
        model: its batch norms not synchronised.
        demo_input: makes the input on which the model is traced, see `build_demo_input`.
        keep: modules and parameters to leave whole.
    """
    return analyze(model, build_demo_input(demo_input).get_data(model), keep=keep,
                   memory=proof_folder()).units


def slice_structure(model: nn.Module, structure: Mapping[str, int],
                    units: Sequence[ChannelUnit]) -> nn.Module:
    """Slice a dense model to the channel counts of a structure.

    The first channels of each unit stay: the weights come from a checkpoint of that structure.
    The analysis has proved the units under several choices of channels, so that this one is not
    proved again.

    Args:
        model: the dense model, its batch norms not synchronised.
        structure: unit names and channels kept; a unit that is not named stays whole.
        units: of that model.

    Raises:
        StructureError: the structure is empty or of another model.
    """
    if not structure:
        raise StructureError('fix_subnet is empty: give the structure, or the path of the '
                             'fix_subnet.json that the pruning or finetune run has written')
    check_structure(structure, {unit.name: unit.num_channels for unit in units})
    return slice_units(model, units, {
        unit.name: torch.arange(unit.num_channels) < structure[unit.name]
        for unit in units if unit.name in structure})


def read_checkpoint(
        checkpoint: str | os.PathLike, *,
        missing: str = 'run the prune config first, which leaves compressed.pth in its work '
                       'directory, or tools/extract_compressed.py',
        damaged: str = 'write it again by tools/extract_compressed.py from a checkpoint of the run',
) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint.

    Args:
        checkpoint: a file or an address.
        missing: what to do where there is no such file, for the message.
        damaged: what to do where it cannot be read.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it holds no state dict.
    """
    path = os.fspath(checkpoint)
    if '://' not in path and not os.path.isfile(path):
        raise FileNotFoundError(f'checkpoint {path!r:.300} does not exist; {missing}')
    try:
        content = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except UnsafeCheckpointError:
        raise
    except RuntimeError as error:
        raise ValueError(f'checkpoint {path!r} is damaged ({error}); {damaged}') from error
    state = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'checkpoint {path!r} holds no `state_dict` of tensors; {damaged}')
    return state


def read_state(checkpoint: str | os.PathLike) -> dict[str, Tensor]:
    """Read the weights of a checkpoint; those of a distilled run lie under `architecture`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it holds no state dict.
    """
    state = read_checkpoint(checkpoint)
    inner = _strip(state, 'architecture.')
    if not inner:
        return state
    versions = layout_versions(state)
    if versions:
        inner_versions = _strip(versions, 'architecture.')
        inner_versions[''] = versions.get('architecture', {})
        inner = with_versions(inner, inner_versions)
    return inner


def layout_versions(state: Mapping[str, Tensor]) -> Mapping[str, Any] | None:
    """Return the versions of a state dict's layout by module, None where it has lost them."""
    return getattr(state, '_metadata', None)


def with_versions(state: OrderedDict[str, Tensor], versions: Mapping[str, Any] | None
                  ) -> OrderedDict[str, Tensor]:
    """Note the versions of its layout on a state dict, as `Module.state_dict` does."""
    vars(state)['_metadata'] = versions
    return state


def _strip(table: Mapping, prefix: str) -> OrderedDict:
    return OrderedDict((key[len(prefix):], value) for key, value in table.items()
                       if key.startswith(prefix))


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict that fills a model, together with the versions of its layout.

    Layers convert the layout of old releases as the versions say, which a dictionary made from a
    state dict has lost. One that has the model's own keys has the model's own layout.

    Args:
        model: the model.
        state: has every key of the model; others are left out.
    """
    own = model.state_dict()
    filled = OrderedDict((key, state[key]) for key in own)
    model.load_state_dict(with_versions(filled, layout_versions(state) or layout_versions(own)))


def load_sliced(model: nn.Module, checkpoint: str | os.PathLike) -> None:
    """Load a checkpoint that must fill a sliced model exactly.

    Raises:
        UnprunedError: the checkpoint is of the same model before slicing.
        ValueError: it is of another model or structure.
    """
    state, own = read_state(checkpoint), model.state_dict()
    wrong = {key for key, value in own.items() if key in state and state[key].shape != value.shape}
    if wrong and all((torch.tensor(state[key].shape) >= torch.tensor(own[key].shape)).all()
                     for key in wrong if state[key].dim() == own[key].dim()):
        key = min(wrong)
        raise UnprunedError(
            f'checkpoint {os.fspath(checkpoint)!r} is not sliced: {key} is '
            f'{tuple(state[key].shape)}, the structure has {tuple(own[key].shape)}. Take the '
            'compressed.pth that the pruning run has left, or make one by '
            'tools/extract_compressed.py')
    missing, unknown = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if wrong or missing or unknown:
        raise ValueError(
            f'checkpoint {os.fspath(checkpoint)!r} is not of this structure: {len(missing)} keys '
            f'are missing (first: {next(iter(missing), None)!r:.200}), {len(unknown)} unknown '
            f'(first: {next(iter(unknown), None)!r:.200}), {len(wrong)} of another shape '
            f'(first: {min(wrong, default=None)!r:.200}); fix_subnet, quant and checkpoint must be '
            'of one run')
    load_state(model, state)
