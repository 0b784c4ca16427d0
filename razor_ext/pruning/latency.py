"""Estimated latency as the cost of a structure."""
from __future__ import annotations

import os

import torch
from torch import nn

from razor_ext.quantization import float_mode
from razor_ext.quantization.calibration import run_batch
from razor_ext.structure.latency import (
    FLOAT,
    INTEGER,
    LatencyCost,
    LayerShape,
    LayerTimes,
    layer_shapes,
)
from razor_ext.structure.slicing import static_copy

from .costs import Bits
from .mutator import GraphMutator


def model_shapes(architecture: nn.Module, mutator: GraphMutator) -> dict[str, LayerShape]:
    """Layers of the whole model at the input it was analysed on.

    Args:
        architecture: float or quantized, calibrated or not.
        mutator: its units.
    """
    model = static_copy(architecture).eval()
    data = mutator.demo_data(model)
    with torch.no_grad(), float_mode(model):
        return layer_shapes(model, lambda: run_batch(model, data))


def latency_cost(architecture: nn.Module, mutator: GraphMutator, path: str | os.PathLike,
                 bits: Bits) -> tuple[LatencyCost, float]:
    """Make the cost of a structure from a latency file.

    Args:
        architecture: float or quantized.
        mutator: its units.
        path: latency file of the model, see `razor_ext.structure.latency`.
        bits: bit widths of the quantized sides of each layer. Integer kernels want both weights and
            inputs of 8 bits or fewer; wider ones are deployed in float.

    Returns:
        The cost in milliseconds, and that of the whole float model.

    Raises:
        LatencyFileError: the file does not fit the model.
    """
    kernels = {name: INTEGER if len(sides) > 1 and max(sides.values()) <= INTEGER else FLOAT
               for name, sides in bits.items()}
    units, shapes = mutator.mutable_units, model_shapes(architecture, mutator)
    times = LayerTimes(path)
    return LatencyCost(units, shapes, times, kernels), LatencyCost(units, shapes, times, {})({})
