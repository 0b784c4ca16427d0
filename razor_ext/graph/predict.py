"""Compare the trace of a sliced model with what the graph predicts of it."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from .errors import TraceError
from .trace import structure_copy, trace


def dead_ids(graph: Any, keep: Mapping[str, torch.Tensor]) -> np.ndarray:
    """Canonical ids of the channels that a choice removes."""
    flow, parts = graph.flow, [np.zeros(0, int)]
    for unit in graph.units:
        if unit.name in keep:
            member = unit.members[0]
            axis = flow.leaves[member.name].dims[member.dim]
            lost = member.indices[~keep[unit.name]].reshape(-1).numpy()
            parts.append(flow.ids.elements(axis)[lost])
    return np.unique(np.concatenate(parts))


def predicted_shape(graph: Any, number: int, dead: np.ndarray) -> tuple[int, ...]:
    """Shape that a tensor of the trace has once channels are removed."""
    flow = graph.flow
    value = flow.values[number]
    return tuple(size if axis is None else int((~np.isin(flow.ids.elements(axis), dead)).sum())
                 for size, axis in zip(value.shape, value.dims))


def first_mismatch(graph: Any, keep: Mapping[str, torch.Tensor], sliced: nn.Module, args: tuple,
                   kwargs: dict[str, Any]) -> str:
    """Name the first operator of the sliced model whose result has not the predicted shape.

    Returns:
        '' if the shapes are all as predicted; then the positions differ, not the sizes.
    """
    try:
        program = trace(structure_copy(sliced), args, kwargs)
    except TraceError as error:
        return str(error)
    dead = dead_ids(graph, keep)
    for old, new in zip(graph.program.calls, program.calls):
        if old.name != new.name:
            return f'operator {old} became {new}'
        for before, after in zip(old.outputs, new.outputs):
            if before is None or after is None:
                continue
            expected, found = predicted_shape(graph, before, dead), program.shapes[after]
            if expected != found:
                return f'{old}: expected shape {expected}, got {found}'
    return ''
