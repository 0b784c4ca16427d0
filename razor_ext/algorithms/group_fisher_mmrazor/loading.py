"""The structure and weights of a checkpoint of MMRazor's way."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.runner import CheckpointLoader
from mmrazor.structures.subnet.fix_subnet import export_fix_subnet, load_fix_subnet
from torch import nn

from razor_ext.structure.rebuild import UnprunedError

if TYPE_CHECKING:
    from .algorithm import GroupFisherAlgorithm


def load_pruned_weights(algorithm: GroupFisherAlgorithm) -> None:
    """Load the checkpoint of a pruning run, masks included, from the algorithm's init_cfg.

    Args:
        algorithm: freshly built, with `init_cfg=dict(type='Pretrained', checkpoint=...)`.

    Raises:
        FileNotFoundError: the checkpoint does not exist.
        ValueError: no checkpoint is set, or it is not of a pruning run of this model.
        UnprunedError: every channel of the checkpoint is still there.
    """
    path = (algorithm.init_cfg or {}).get('checkpoint')
    if not path:
        raise ValueError('the pruned checkpoint is not set: fill in `pruned_path`, the file '
                         'flops_<target>.pth that the pruning run has left in its work directory')
    if '://' not in str(path) and not Path(path).is_file():
        raise FileNotFoundError(
            f'pruned checkpoint {path!r} does not exist; run the prune config first, or set '
            '`pruned_path` to the flops_<target>.pth it left in its work directory')
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    state = checkpoint.get('state_dict', checkpoint)
    missing, unexpected = algorithm.load_state_dict(state, strict=False)
    if missing or unexpected:
        raise ValueError(
            f'checkpoint {path!r} is not of a pruning run of this model: {len(missing)} keys are '
            f'missing (first: {next(iter(missing), None)!r}), {len(unexpected)} unknown (first: '
            f'{next(iter(unexpected), None)!r})')
    if all(unit.mutable_channel.activated_channels == unit.num_channels
           for unit in algorithm.mutator.mutable_units):
        raise UnprunedError(f'checkpoint {path!r} keeps all channels of all '
                            f'{len(algorithm.mutator.mutable_units)} units: nothing was pruned. '
                            'Use the checkpoint that the pruning run wrote at its threshold')


def freeze_structure(architecture: nn.Module) -> None:
    """Turn dynamic layers into static ones with the channels that are active."""
    load_fix_subnet(architecture, export_fix_subnet(architecture)[0])
