"""The weights that a run of compression starts from."""
from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn

from razor_ext.graph.norms import shares
from razor_ext.quantization.quantizer import Quantizer

from .morphed_activation import MorphedActivation
from .rebuild import layout_versions, read_checkpoint, with_versions

#: Prefix of the keys that a data-parallel wrapper has saved.
_WRAPPER = 'module.'
_ADVICE = 'set model.checkpoint to the weights of the dense model'


def load_dense(model: nn.Module, checkpoint: str | os.PathLike) -> None:
    """Load a checkpoint that must fill a dense model, its quantizers apart.

    Args:
        model: the dense model; its layers may hold quantizers, which calibration sets, and its
            norms may be mask-aware.
        checkpoint: a file or an address. What it holds besides is left out.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it holds no state dict, or is of another model.
    """
    state = _unwrapped(read_checkpoint(checkpoint, missing=_ADVICE, damaged=_ADVICE))
    own = _float_state(model)
    missing = [key for key in own if key not in state
               and not key.endswith('num_batches_tracked')]
    wrong = [key for key, value in own.items() if key in state and state[key].shape != value.shape]
    if missing or wrong:
        examples = [f'{key} is missing' for key in missing[:1]] + [
            f'{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}' for key in wrong[:1]]
        raise ValueError(
            f'checkpoint {os.fspath(checkpoint)!r} is of another model than this '
            f'{type(model).__name__}: of its {len(own)} weights {len(missing)} are missing and '
            f'{len(wrong)} have another shape ({"; ".join(examples)}). Set model.checkpoint to the '
            'weights that this config was trained to; to start from a pretrained backbone, train '
            'the dense model first')
    filled = OrderedDict((key, state[key]) for key in own if key in state)
    model.load_state_dict(with_versions(filled, layout_versions(state)
                                        or layout_versions(model.state_dict())), strict=False)


def _unwrapped(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if all(key.startswith(_WRAPPER) for key in state):
        return OrderedDict((key[len(_WRAPPER):], value) for key, value in state.items())
    return state


def _float_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights that a dense model has: without grids, shares of norms and mixes."""
    learned = tuple(f'{name}.' for name, module in model.named_modules(remove_duplicate=False)
                    if isinstance(module, (Quantizer, MorphedActivation)))
    masks = set(shares(model))
    return {key: value for key, value in model.state_dict().items()
            if key not in masks and not (learned and key.startswith(learned))}
