"""The files of a compressed model."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import nn

from razor_ext.engine.atomic import atomic_write
from razor_ext.quantization import QuantizedLayerInfo, save_quant

from .fix_subnet import dump_subnet


def write_compressed(model: nn.Module, structure: Mapping[str, int], folder: str | os.PathLike,
                     infos: Sequence[QuantizedLayerInfo] | None = None, *, config=None,
                     units=()) -> None:
    """Write fix_subnet.json, quant.json (if quantized) and compressed.pth, each whole or not.

    Args:
        model: the sliced model, on the CPU.
        structure: channels kept by unit.
        folder: where; it is created.
        infos: what is quantized and why not; None for a float model.
    """
    folder = Path(folder)
    with atomic_write(folder / 'compressed.pth') as temporary:
        torch.save({'state_dict': model.state_dict(), 'meta': {}}, temporary)
    if infos is not None:
        save_quant(folder / 'quant.json', model, infos)
    dump_subnet(structure, folder / 'fix_subnet.json')
    print_log(f'the sliced model is in {folder / "compressed.pth"}', logger='current')
