"""The sliced model of any checkpoint of a compression run."""
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmrazor.registry import MODELS
from torch import Tensor, nn

from razor_ext.structure.demo_input import build_demo_input
from razor_ext.structure.dense_config import dense_config
from razor_ext.structure.rebuild import UnprunedError, load_sliced
from razor_ext.structure.slicing import static_copy

from .export import Compressed

if TYPE_CHECKING:
    from .algorithm import PruningAlgorithm


@runtime_checkable
class Extractable(Protocol):
    """A model of a pruning run."""

    def load_run(self, checkpoint: str) -> None:
        """Load a checkpoint of the run."""

    def compressed(self) -> Compressed:
        """Check the result and slice it."""


def read_run(checkpoint: str | os.PathLike) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint of a run.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it holds no state dict.
    """
    path = os.fspath(checkpoint)
    if '://' not in path and not Path(path).is_file():
        raise FileNotFoundError(f'checkpoint {path!r} does not exist; run the prune config first')
    content = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    state = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'checkpoint {path!r} holds no `state_dict` of tensors')
    return dict(state)


def load_run(algorithm: PruningAlgorithm, checkpoint: str | os.PathLike) -> None:
    """Load a checkpoint of a run into a freshly built algorithm.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is of another model.
        UnprunedError: nothing is pruned in it.
    """
    path = os.fspath(checkpoint)
    state = algorithm.run_state(read_run(path))
    own = algorithm.state_dict()
    own = {key: own[key] for key in own if key.startswith(('architecture.', 'masks.'))}
    missing = sorted(set(own) - set(state))
    wrong = sorted(key for key in own if key in state and state[key].shape != own[key].shape)
    if missing or wrong:
        raise ValueError(f'checkpoint {path!r} is not of the pruning run of this config: '
                         f'{len(missing)} keys are missing (first: '
                         f'{next(iter(missing), None)!r}), {len(wrong)} of another shape (first: '
                         f'{next(iter(wrong), None)!r})')
    algorithm.load_state_dict(state, strict=False)
    if algorithm.target_cfg is not None \
            and not algorithm.pruned_channels(algorithm.architecture).any():
        raise UnprunedError(f'checkpoint {path!r} holds no pruned channel: nothing was pruned yet. '
                            'Take one from the end of the pruning run')


def _extract_compressed(model: Mapping, checkpoint: str) -> Compressed:
    built = MODELS.build({**model, 'checkpoint': None})
    load_sliced(built, checkpoint)
    record = built.compression_record
    final = static_copy(built).eval()
    data = build_demo_input(record.demo_input).get_data(final)
    return Compressed(final, record.structure, record.infos, data, record.units)


def extract(cfg: Config, checkpoint: str) -> tuple[Compressed, nn.Module]:
    """Get the sliced model from a checkpoint.

    Args:
        cfg: config of the run: of pruning, or of finetuning a CompressedModel.
        checkpoint: one of its checkpoints.

    Returns:
        The sliced model, and the dense float architecture.

    Raises:
        UnprunedError: nothing is pruned in it.
        TargetMissedError: the run had not reached its target when it was saved.
        ValueError: it is of another model, or the config of no compression run.
    """
    model = cfg.model
    if model.type.rpartition('.')[2] == 'SingleTeacherDistill':
        model = model.architecture
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    if model.type.rpartition('.')[2] == 'CompressedModel':
        found = _extract_compressed(model, os.fspath(checkpoint))
    else:
        algorithm = MODELS.build(model)
        if not isinstance(algorithm, Extractable):
            raise ValueError(f'{cfg.filename}: model.type={model.type!r}; a compressed model is '
                             'extracted from the config of a pruning algorithm, or from one that '
                             'finetunes a CompressedModel')
        algorithm.load_run(os.fspath(checkpoint))
        found = algorithm.compressed()
    return found, MODELS.build(dense_config(cfg).model)
