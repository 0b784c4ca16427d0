"""Write the compressed folder of a model."""
from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from razor_ext.atomic import explain_full_disk
from razor_ext.engine.atomic import write_json
from razor_ext.graph import ChannelUnit
from razor_ext.quantization import QuantizedLayerInfo, save_quant

from .dense_config import dense_config
from .folder import ACTIVATIONS, ANALYSIS_KEY, CONFIG, QUANT, STAGING, STRUCTURE, UNITS, WEIGHTS
from .unit_file import AnalysedUnits, dense_hash, dense_shapes, save_units

#: In this order the files of before go; the new ones come in the reverse order, so that the
#: structure, without which nothing is read, comes last.
_FILES = (STRUCTURE, UNITS, CONFIG, QUANT, ACTIVATIONS, WEIGHTS)


def write_compressed(model: nn.Module, structure: Mapping[str, int], folder: str | os.PathLike,
                     infos: Sequence[QuantizedLayerInfo] | None = None, *,
                     config: Config | None = None, units: Sequence[ChannelUnit] = (),
                     activations: Mapping[str, str] | None = None) -> None:
    """Write all files of a compressed model, or none: an error leaves what was there before.

    They are made in a hidden folder inside `folder` and moved when all are whole. A process that
    is killed while they are moved leaves a folder that `load_compressed` refuses. Other files in
    `folder` stay.

    Args:
        model: the sliced model, on the CPU.
        structure: channels kept by unit.
        folder: where; it is created.
        infos: what is quantized and why not; None for a float model.
        config: the run's, see `dense_config`; without it the folder has no config.py, and whoever
            reads it must give the architecture.
        units: those of the dense model; without them they are analysed when the folder is read.
        activations: those that the run has exchanged.

    Raises:
        ValueError: the config is that of no compression run, or a weight is not finite.
        QuantFileError: a quantizer is not calibrated, or its bits are not fixed.
    """
    folder = Path(folder)
    check_finite(model)
    dense = None if config is None else dense_config(config)
    how = {} if dense is None else dense[ANALYSIS_KEY]
    with _staged(folder) as staging:
        _save({'state_dict': model.state_dict(), 'meta': {}}, staging / WEIGHTS)
        if infos is not None:
            save_quant(staging / QUANT, model, infos)
        if activations:
            write_json(staging / ACTIVATIONS, dict(activations))
        if dense is not None:
            dense.dump(staging / CONFIG)
        if units:
            demo_input, keep = how.get('demo_input'), tuple(how.get('keep', ()))
            shapes = dense_shapes(model, structure, units)
            save_units(staging / UNITS, AnalysedUnits(
                tuple(units), dense_hash(shapes, demo_input, keep), demo_input, keep))
        write_json(staging / STRUCTURE, dict(structure))
    print_log(f'the sliced model, pruned in {len(structure)} units, is in {folder}',
              logger='current')


def check_finite(model: nn.Module) -> None:
    """Refuse a model that training has ruined.

    Raises:
        ValueError: a parameter, or the running statistics of a norm, are NaN or infinite.
    """
    statistics = {f'{name}.{kind}': buffer for name, module in model.named_modules()
                  if isinstance(module, _NormBase)
                  for kind, buffer in module.named_buffers(recurse=False)}
    broken = [name for name, value in [*model.named_parameters(), *statistics.items()]
              if not bool(value.isfinite().all())]
    if broken:
        raise ValueError(f'{len(broken)} parameters or statistics are NaN or infinite (first: '
                         f'{broken[0]}): the training has diverged, and nothing is written. Lower '
                         'the learning rate, clip gradients (optim_wrapper.clip_grad), or look for '
                         'the fault in the data or loss')


def _save(content: dict, path: Path) -> None:
    """Save a checkpoint by Python's own writing, whose errors name the cause (a full disk)."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(buffer.getbuffer())


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Give an empty folder whose files replace those of `folder` when the block succeeds."""
    staging = folder / STAGING
    shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
    staging.mkdir(parents=True)
    try:
        yield staging
        _replace(staging, folder)
    except OSError as error:
        explain_full_disk(error, folder)
        raise
    finally:
        shutil.rmtree(staging)


def _replace(staging: Path, folder: Path) -> None:
    """Move the files of `staging` in the place of those of `folder`; undo it if that fails."""
    before = staging / 'before'
    before.mkdir()
    moved: list[str] = []
    try:
        for name in _FILES:
            if (folder / name).exists():
                os.replace(folder / name, before / name)
        for name in reversed(_FILES):
            if (staging / name).exists():
                os.replace(staging / name, folder / name)
                moved.append(name)
    except BaseException:
        for name in moved:
            (folder / name).unlink()
        for name in reversed(_FILES):
            if (before / name).exists():
                os.replace(before / name, folder / name)
        raise
