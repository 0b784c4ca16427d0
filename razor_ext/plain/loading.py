"""A compressed model from its folder and the dense one."""
from __future__ import annotations

import os

from torch import nn

from razor_ext.quantization import apply_quant, load_quant
from razor_ext.structure.activations import exchange_activations
from razor_ext.structure.folder import load_compressed
from razor_ext.structure.rebuild import load_sliced, slice_structure


def load_compressed_model(model: nn.Module, folder: str | os.PathLike) -> nn.Module:
    """Load what `Compression.finish`, or a run by a config, has left.

    Args:
        model: a new dense model; its weights do not matter, and it is changed no further.
        folder: the compressed folder.

    Returns:
        The sliced model with its weights, quantizers placed, in evaluation mode.

    Raises:
        StructureError: the folder is not whole, or of another model.
        QuantFileError: quant.json does not fit the model.
        ValueError: the weights are of another structure.

    Example:
        >>> small = load_compressed_model(VGG7(), 'work_dirs/vgg7')  # doctest: +SKIP
    """
    found = load_compressed(folder)
    units = found.find_units(model)
    exchange_activations(model, found.activations)
    small = slice_structure(model, found.structure, units)
    if found.quant_path is not None:
        apply_quant(small, load_quant(found.quant_path))
    load_sliced(small, found.checkpoint_path)
    return small.eval()
