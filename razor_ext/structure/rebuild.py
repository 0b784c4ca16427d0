"""Rebuild a compressed model from the dense one, its structure file and its quantization file."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from razor_ext.graph import analyze, slice_model

from .demo_input import build_demo_input
from .fix_subnet import SubnetError, check_subnet


class UnprunedError(RuntimeError):
    """A model or checkpoint that should have been pruned is whole."""


def rebuild(architecture: nn.Module, structure: Mapping[str, int],
            demo_input: Sequence[int] | Mapping | None = None) -> nn.Module:
    """Slice a dense model to the channel counts of a structure.

    The first channels of each unit stay: the weights come from a checkpoint of that structure.

    Args:
        architecture: the dense model.
        structure: unit names and channels kept; a unit that is not named stays whole.
        demo_input: of `build_demo_input`; None for the family's own.

    Returns:
        The sliced model, its batch norms not synchronised.

    Raises:
        SubnetError: the structure is empty or of another model.
    """
    if not structure:
        raise SubnetError('fix_subnet is empty: give the structure, or the path of the '
                          'fix_subnet.json that the pruning or finetune run has written')
    model = revert_sync_batchnorm(architecture)
    graph = analyze(model, build_demo_input(demo_input).get_data(model))
    check_subnet(structure, {unit.name: unit.num_channels for unit in graph.units})
    keep = {unit.name: torch.arange(unit.num_channels) < structure[unit.name]
            for unit in graph.units if unit.name in structure}
    return slice_model(model, graph, keep)


def read_state(checkpoint: str | os.PathLike) -> dict[str, Tensor]:
    """Read the weights of a checkpoint; those of a distilled run lie under `architecture`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it holds no state dict.
    """
    path = os.fspath(checkpoint)
    if '://' not in path and not Path(path).is_file():
        raise FileNotFoundError(
            f'checkpoint {path!r} does not exist; run the prune config first, which leaves '
            'compressed.pth in its work directory, or tools/extract_compressed.py')
    content = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    state = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'checkpoint {path!r} holds no `state_dict` of tensors')
    inner = {key.removeprefix('architecture.'): value for key, value in state.items()
             if key.startswith('architecture.')}
    return inner or dict(state)


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
            f'are missing (first: {next(iter(missing), None)!r}), {len(unknown)} unknown (first: '
            f'{next(iter(unknown), None)!r}), {len(wrong)} of another shape (first: '
            f'{min(wrong, default=None)!r}); fix_subnet, quant and checkpoint must be of one run')
    model.load_state_dict(state)
