"""The ONNX file of a model of one input, shown to be the same model."""
from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from razor_ext.deploy.integers.quantized import quantize_export
from razor_ext.deploy.parity import check_parity, flatten_outputs, require, require_integers
from razor_ext.engine.atomic import atomic_write
from razor_ext.quantization import remove_quantizers
from razor_ext.structure.slicing import static_copy

#: The first opset with PyTorch's attention; Q/DQ per channel needs 13.
OPSET = 14


def write_onnx(path: Path, model: nn.Module, batches: Sequence[torch.Tensor],
               quant_file: Path | None, parity_threshold: float, integer_threshold: float,
               ) -> dict[str, Any]:
    """Export a sliced model, its integers too, and compare both with torch.

    Args:
        path: the file, written whole or not at all; its batch dimension is free.
        model: the model in evaluation mode; left alone.
        batches: inputs to compare and calibrate on.
        quant_file: its quant.json; None for a float model.
        parity_threshold: largest error of the float graph, see `OutputParity.error`.
        integer_threshold: largest relative L2 error of the integers to fake quantization.

    Returns:
        `max_abs` of the float graph against torch, and `quantization`, the figures of the integers.

    Raises:
        ParityError, AuditError: the file would not be the model.
    """
    plain = static_copy(model)
    if quant_file is not None:
        remove_quantizers(plain)
    plain.eval()
    with atomic_write(path) as temporary:
        _export(plain, batches[0][:1], temporary)
        parities = check_parity(plain, temporary, batches, _run)
        require(parities, parity_threshold)
        figures: dict[str, Any] = {'max_abs': max(row.max_abs for row in parities)}
        if quant_file is not None:
            exported = quantize_export(temporary, plain, quant_file, batches, batches[:1],
                                       run=_run)
            require_integers(exported.calibrated, integer_threshold)
            onnx.save(exported.model, temporary)
            figures['quantization'] = exported.as_dict()
    return figures


def _run(model: nn.Module, inputs: Sequence[torch.Tensor]) -> list[list[np.ndarray]]:
    with torch.no_grad():
        return [flatten_outputs(model(batch)) for batch in inputs]


def _export(model: nn.Module, batch: torch.Tensor, path: Path) -> None:
    older: dict[str, Any] = {'dynamo': False} if 'dynamo' in inspect.signature(
        torch.onnx.export).parameters else {}
    with warnings.catch_warnings():  # that it is the older exporter is known
        warnings.filterwarnings('ignore', 'You are using the legacy TorchScript-based',
                                DeprecationWarning)
        torch.onnx.export(model, (batch, ), os.fspath(path), opset_version=OPSET,
                          input_names=['input'], dynamic_axes={'input': {0: 'batch'}}, **older)
