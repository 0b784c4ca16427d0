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
from razor_ext.graph.stand_ins import StandIn, sliceable_type
from razor_ext.quantization import scale_followers
from razor_ext.quantization.layers import QuantLayer, swapped_type


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
    model = _sliceable(model)
    removed = removed_positions(graph.units, check_keep(graph.units, keep))
    for weight, scales in scale_followers(model).items():
        for scale, dim in scales:
            if (weight, dim) in removed:
                removed[scale, dim] = removed[weight, dim]
    return slice_tensors(model, removed)


def _sliceable(model: nn.Module) -> nn.Module:
    """Return a copy whose quantized attention has a head dimension of its own, see `StandIn`."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if not isinstance(module, QuantLayer) or isinstance(module, StandIn):
            continue
        sliceable = sliceable_type(module.float_type)
        if sliceable is not None and sliceable.fits(module):
            module.__class__ = swapped_type(type(module).__bases__[0], sliceable)
            sliceable.prepare(module)
    return model
