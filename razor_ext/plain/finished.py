"""The end of a run: the sliced model and its files."""
from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from razor_ext.pruning import Compressed
from razor_ext.structure.folder import QUANT

#: Name of the ONNX file in the folder.
ONNX = 'end2end.onnx'


@dataclass(frozen=True)
class FinishedModel:
    """What a run has made of a model.

    Attributes:
        model: the sliced model in evaluation mode on the CPU, its bit widths fixed.
        structure: channels kept by unit.
        costs: `macs`, `bops`, `params`, ... of 'dense' and 'compressed'.
        onnx_file: the ONNX file, integers where the model is quantized; None without one.
        figures: of `write_onnx`.
    """

    model: nn.Module
    structure: dict[str, int]
    costs: dict[str, dict[str, float]]
    onnx_file: Path | None = None
    figures: dict[str, Any] = field(default_factory=dict)


def finish(compressed: Compressed, costs: dict[str, dict[str, float]],
           folder: str | os.PathLike | None, batches: Sequence[torch.Tensor] | None,
           parity_threshold: float, integer_threshold: float) -> FinishedModel:
    """Write a sliced model.

    Args:
        compressed: the sliced model.
        costs: what it costs, see `FinishedModel`.
        folder: where its files go; None writes nothing.
        batches: inputs to export with; None writes no ONNX file.
        parity_threshold, integer_threshold: see `write_onnx`.
    """
    model, structure = compressed.model, compressed.structure
    if folder is None:
        return FinishedModel(model, structure, costs)
    folder = Path(folder)
    compressed.write(folder)
    if batches is None:
        return FinishedModel(model, structure, costs)
    from .onnx_file import write_onnx  # needs onnx and onnxruntime, which training does not
    figures = write_onnx(folder / ONNX, model, batches,
                         folder / QUANT if compressed.infos else None, parity_threshold,
                         integer_threshold)
    return FinishedModel(model, structure, costs, folder / ONNX, figures)
