"""The compressed model of a config, to finetune, test and deploy."""
from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.runner import Runner
from mmrazor.models.utils.expandable_utils import make_channel_divisible
from mmrazor.registry import HOOKS, MODELS
from mmrazor.utils import RuntimeInfo
from torch import nn

from razor_ext.engine.averages import averaged_models
from razor_ext.quantization import QuantizedLayerInfo, apply_quant, load_quant, save_quant

from .divisor import check_divisor
from .fix_subnet import SubnetError, dump_subnet, load_subnet
from .rebuild import load_sliced, rebuild
from .slicing import static_copy


@dataclass
class CompressionRecord:
    """What a compressed model was built from.

    Attributes:
        structure: channels kept by unit.
        infos: of `apply_quant`; empty for a float model.
    """

    structure: dict[str, int]
    infos: list[QuantizedLayerInfo] = field(default_factory=list)

    def write(self, model: nn.Module, folder: Path) -> None:
        """Write fix_subnet.json, and quant.json of the present grids."""
        dump_subnet(self.structure, folder / 'fix_subnet.json')
        if self.infos:
            save_quant(folder / 'quant.json', model, self.infos)


@MODELS.register_module()
def CompressedModel(architecture: BaseModel | dict,
                    fix_subnet: Mapping[str, int] | str,
                    quant: Mapping[str, Any] | str | None = None,
                    checkpoint: str | None = None,
                    divisor: int = 1,
                    demo_input: Sequence[int] | Mapping = (1, 3, 224, 224),
                    data_preprocessor: Any = None) -> BaseModel:
    """Build the model of a structure file, whichever algorithm has written it.

    Args:
        architecture: the dense model, or its config; its own checkpoint is not loaded.
        fix_subnet: the structure, or the path of its file.
        quant: the grids, or the path of quant.json; None for a float model.
        checkpoint: weights of that structure: compressed.pth, or one of a finetune run. None where
            a tool loads them (testing, deployment).
        divisor: mmdeploy pads channel counts up to multiples of it after the weights are loaded.
        demo_input: makes the input on which the model is traced: a shape, or a config.
        data_preprocessor: unused, the architecture has its own; Runner passes it to every model.

    Returns:
        The sliced architecture, its quantizers placed. Training it writes `fix_subnet.json` and
        `quant.json` into the work directory; `CompressedModelHook` writes them again at the end.

    Raises:
        SubnetError: the structure file or the divisor does not fit the model.
        QuantFileError: quant.json does not fit the model.
        UnprunedError, ValueError: the checkpoint is not sliced, or of another structure.
    """
    if isinstance(architecture, Mapping):
        architecture = MODELS.build(architecture)
    structure = load_subnet(fix_subnet) if fix_subnet else {}
    if divisor != 1 and quant is not None:
        raise SubnetError(f'divisor={divisor} pads the layers, and quant.json knows the unpadded '
                          'ones; set divisor=1, and prune with a divisor instead')
    model = rebuild(architecture, structure, demo_input)
    check_divisor(divisor, structure)
    record = CompressionRecord(structure)
    if quant is not None:
        spec = quant if isinstance(quant, Mapping) else load_quant(quant)
        record.infos = apply_quant(model, spec)
    if checkpoint is not None:
        load_sliced(model, checkpoint)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.init_cfg = None
    model.compression_record = record
    model.init_weights = types.MethodType(_keep_weights, model)
    if divisor != 1:
        model.post_process_for_mmdeploy = types.MethodType(pads_to(divisor), model)
    return model


def _keep_weights(model: nn.Module) -> None:
    """Keep the compressed weights; record the structure beside the run's checkpoints."""
    if is_main_process():
        model.compression_record.write(model, Path(RuntimeInfo.work_dir()))


def pads_to(divisor: int) -> Any:
    """Return a method that pads a sliced model to a divisor, for mmdeploy to call."""
    def post_process_for_mmdeploy(model: nn.Module) -> None:
        """Pad the channels with zero weights to multiples of the divisor.

        Raises:
            SubnetError: MMRazor, which traces a model on an image of its own, cannot run it.
        """
        try:
            structure = make_channel_divisible(model, divisor=divisor)
        except Exception as error:  # of the model, on an input that is not its own
            raise SubnetError(
                f'divisor={divisor}: MMRazor, which pads the channels, cannot run a '
                f'{type(model).__name__} on an image ({error}); set divisor=1, and prune with a '
                'divisor instead') from error
        # The layers made anew are in training mode.
        model.train(model.training)
        lines = [f'{name}: {count}' for name, count in structure.items()]
        print_log(f'structure padded to multiples of {divisor}:\n  ' + '\n  '.join(lines),
                  logger='current')

    return post_process_for_mmdeploy


@HOOKS.register_module()
class CompressedModelHook(Hook):
    """Writes fix_subnet.json and quant.json as a finetune run has left them.

    Of an averaged model (EMA) where there is one, as in the checkpoints. The files belong to the
    last checkpoint; `tools/extract_compressed.py` makes those of another one.
    """

    priority = 'BELOW_NORMAL'

    def after_train(self, runner: Runner) -> None:
        """Write the files.

        Raises:
            TypeError: the model is no compressed one.
        """
        averages = list(averaged_models(runner))
        model = averages[0] if averages else runner.model
        model = model.module if is_model_wrapper(model) else model
        # A distilled run holds the model as its architecture.
        model = getattr(model, 'architecture', model)
        record = getattr(model, 'compression_record', None)
        if record is None:
            raise TypeError(f'CompressedModelHook belongs to a CompressedModel, not to a '
                            f'{type(model).__name__}; remove it from custom_hooks')
        if is_main_process():
            record.write(static_copy(model), Path(runner.work_dir))
