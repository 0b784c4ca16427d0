"""Slice a model that may hold quantizers: scales per channel go with the channels."""
from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import revert_sync_batchnorm
from torch import nn

from razor_ext.graph import ChannelGraph
from razor_ext.graph.slicing import check_keep, removed_positions, slice_tensors
from razor_ext.quantization import scale_followers


def static_copy(model: nn.Module) -> nn.Module:
    """Copy a model to the CPU with ordinary batch norms and without hooks.

    The hooks of a distiller hold activations, which cannot be copied.
    """
    memo: dict[int, Any] = {id(getattr(module, name)): OrderedDict() for module in model.modules()
            for name in ('_forward_hooks', '_forward_pre_hooks')}
    return revert_sync_batchnorm(copy.deepcopy(model, memo).cpu())


def slice_quantized(model: nn.Module, graph: ChannelGraph,
                    keep: Mapping[str, torch.Tensor]) -> nn.Module:
    """Return a copy of a model, float or quantized, without the channels that are not kept.

    Args:
        model: of the structure that was analysed.
        graph: the dependency graph of the float model.
        keep: unit name -> Boolean mask; a unit that is not named stays whole.

    Raises:
        SliceError: `keep` does not fit the graph, or the model does not.
    """
    removed = removed_positions(graph.units, check_keep(graph.units, keep))
    for weight, scales in scale_followers(model).items():
        for scale, dim in scales:
            if (weight, dim) in removed:
                removed[scale, dim] = removed[weight, dim]
    return slice_tensors(model, removed)
