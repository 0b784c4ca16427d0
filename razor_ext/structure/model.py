"""The compressed model of a config, to finetune, test and deploy."""
from __future__ import annotations

import copy
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmrazor.models.utils.expandable_utils import make_channel_divisible
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.engine.atomic import write_json
from razor_ext.graph import ChannelUnit
from razor_ext.quantization import QuantizedLayerInfo, apply_quant, load_quant, save_quant

from .activations import exchange_activations, load_activations
from .distilled import distilled
from .divisor import check_divisor
from .fix_subnet import StructureError, dump_structure, load_structure
from .folder import (
    ACTIVATIONS,
    QUANT,
    STRUCTURE,
    activations_beside,
    find_file,
    load_compressed,
)
from .preprocessing import split_preprocessor
from .rebuild import find_units, load_sliced, slice_structure


@dataclass
class CompressionRecord:
    """What a compressed model was built from.

    Attributes:
        structure: channels kept by unit.
        units: of the dense model.
        demo_input: config of the input on which that is traced; None for its default.
        infos: of `apply_quant`; empty for a float model.
        activations: those that the pruning run has exchanged.
    """

    structure: dict[str, int]
    units: tuple[ChannelUnit, ...] = ()
    demo_input: Any = None
    infos: list[QuantizedLayerInfo] = field(default_factory=list)
    activations: Mapping[str, str] = field(default_factory=dict)

    def write(self, model: nn.Module, folder: Path) -> None:
        """Write fix_subnet.json, and quant.json of the present grids."""
        dump_structure(self.structure, folder / STRUCTURE)
        if self.activations:
            write_json(folder / ACTIVATIONS, dict(self.activations))
        else:
            (folder / ACTIVATIONS).unlink(missing_ok=True)
        if self.infos:
            save_quant(folder / QUANT, model, self.infos)


@MODELS.register_module()
def CompressedModel(architecture: BaseModel | Mapping | None = None,
                    fix_subnet: Mapping[str, int] | str | None = None,
                    quant: Mapping[str, Any] | str | Path | None = 'auto',
                    checkpoint: str | Path | None = 'auto',
                    divisor: int = 1,
                    demo_input: Sequence[int] | Mapping | None = None,
                    data_preprocessor: Any = None,
                    *,
                    compressed: str | None = None,
                    keep: Sequence[str] = (),
                    activations: Mapping[str, str] | str | None = None,
                    distill: str | Mapping[str, Any] | None = None) -> BaseModel:
    """Build a compressed model, whichever algorithm has made it.

    From the folder that a run has left (`compressed`), or from single files (`architecture`,
    `fix_subnet`, ...). A folder holds the analysed units, so that nothing is traced.

    Args:
        architecture: the dense model, or its config; its own checkpoint is not loaded. None for
            that of the folder.
        fix_subnet: without a folder: the structure, or the path of its file.
        quant: the grids, or the path of quant.json; None for a float model, 'auto' for what the
            folder holds.
        checkpoint: weights of that structure: compressed.pth, or one of a finetune run. None where
            a tool loads them (testing, deployment), 'auto' for those of the folder.
        divisor: mmdeploy pads channel counts up to multiples of it after the weights are loaded.
        demo_input: where the model is analysed, makes the input on which it is traced: a shape, or
            a config. None for what the folder says, or the model's default.
        data_preprocessor: that of an architecture whose config has none.
        compressed: folder `compressed` of a run, or the run's work directory.
        keep: where the model is analysed without a folder, what the pruning run has left whole.
        activations: those that the run has exchanged, or the path of their file; None for the file
            beside `fix_subnet`, or of the folder, if there is one.
        distill: weights of the dense model, a file or an address, to learn from it; or options of
            `OutputDistillation` and these as `checkpoint`.

    Returns:
        The sliced architecture, its quantizers placed, and around it a `DistilledModel` where it
        has a teacher. `CompressedModelHook` writes what a finetune run makes of it.

    Raises:
        StructureError: the folder, the structure or the divisor does not fit the model.
        QuantFileError: quant.json does not fit the model.
        UnprunedError, ValueError: the checkpoint is not sliced, or of another structure.

    Example:
        >>> MODELS.build(dict(type='mmrazor.CompressedModel',
        ...                   compressed='work_dirs/geta_prune_rtmpose-s'))  # doctest: +SKIP
    """
    folder = None
    if compressed is not None:
        if fix_subnet is not None:
            raise StructureError(f'both compressed={compressed!r} and fix_subnet are given; the '
                                 'folder has a structure of its own, leave one of them out')
        folder = load_compressed(compressed)
        structure = folder.structure
        architecture = folder.architecture() if architecture is None else architecture
        quant = folder.quant_path if quant == 'auto' else quant
        checkpoint = folder.checkpoint_path if checkpoint == 'auto' else checkpoint
        demo_input, keep = demo_input or folder.demo_input, folder.keep
        exchanged = folder.activations
    else:
        if architecture is None:
            raise StructureError('give `compressed`, the folder of a run, or `architecture` and '
                                 '`fix_subnet`')
        structure = load_structure(_located(fix_subnet)) if fix_subnet else {}
        by_path = isinstance(fix_subnet, (str, Path))
        exchanged = activations_beside(_located(fix_subnet)) if by_path else {}
        quant = None if quant == 'auto' else quant
        checkpoint = None if checkpoint == 'auto' else checkpoint
    if divisor != 1 and quant is not None:
        raise StructureError(f'divisor={divisor} pads the layers, and quant.json knows the '
                             'unpadded ones; set divisor=1, and prune with a divisor instead')
    if isinstance(architecture, Mapping):
        architecture = MODELS.build(split_preprocessor(architecture, data_preprocessor)[0])
    dense = revert_sync_batchnorm(architecture)
    teacher = None if distill is None else copy.deepcopy(dense)
    units: Sequence[ChannelUnit] = ()
    if structure:
        units = (find_units(dense, demo_input, keep) if folder is None
                 else folder.find_units(dense, demo_input))
    exchanged = exchanged if activations is None else load_activations(_located(activations))
    exchange_activations(dense, exchanged)
    model: BaseModel = slice_structure(dense, structure, units)
    check_divisor(divisor, {unit.name: unit.num_channels for unit in units})
    record = CompressionRecord(structure, tuple(units), demo_input, activations=exchanged)
    if quant is not None:
        spec = quant if isinstance(quant, Mapping) else load_quant(_located(quant))
        record.infos = apply_quant(model, spec)
    if checkpoint is not None:
        load_sliced(model, _located(checkpoint))
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.init_cfg = None
    model.compression_record = record
    model.init_weights = types.MethodType(_keep_weights, model)
    if divisor != 1:
        model.post_process_for_mmdeploy = types.MethodType(pads_to(divisor), model)
    return model if distill is None or teacher is None else distilled(model, teacher, distill)


def _located(source: Any) -> Any:
    """Return a mapping as it is, of a path the file that exists."""
    return source if isinstance(source, Mapping) else find_file(source)


def _keep_weights(model: nn.Module) -> None:
    """Keep the compressed weights."""


def pads_to(divisor: int) -> Callable[[nn.Module], None]:
    """Return a method that pads a sliced model to a divisor, for mmdeploy to call."""
    def post_process_for_mmdeploy(model: nn.Module) -> None:
        """Pad the channels with zero weights to multiples of the divisor.

        Raises:
            StructureError: MMRazor, which traces a model on an image of its own, cannot run it.
        """
        try:
            structure = make_channel_divisible(model, divisor=divisor)
        except Exception as error:  # of the model, on an input that is not its own
            raise StructureError(
                f'divisor={divisor}: MMRazor, which pads the channels, cannot run a '
                f'{type(model).__name__} on an image ({error}); set divisor=1, and prune with a '
                'divisor instead') from error
        # The layers made anew are in training mode.
        model.train(model.training)
        lines = [f'{name}: {count}' for name, count in structure.items()]
        print_log(f'structure padded to multiples of {divisor}:\n  ' + '\n  '.join(lines),
                  logger='current')

    return post_process_for_mmdeploy
