"""Compare the trace of a sliced model with what the graph predicts of it."""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from .data import GraphData
from .errors import TraceError
from .stand_ins import exposed
from .structure import structure_copy
from .trace import Call, trace


def dead_ids(graph: GraphData, keep: Mapping[str, torch.Tensor]) -> np.ndarray:
    """Canonical ids of the channels that a choice removes."""
    flow, parts = graph.flow, [np.zeros(0, int)]
    for unit in graph.units:
        if unit.name in keep:
            member = unit.members[0]
            axis = flow.leaves[member.name].dims[member.dim]
            assert axis is not None  # it is of channels
            lost = member.indices[~keep[unit.name]].reshape(-1).numpy()
            parts.append(flow.ids.elements(axis)[lost])
    return np.unique(np.concatenate(parts))


def _alive(graph: GraphData, number: int, dim: int, dead: np.ndarray) -> np.ndarray | None:
    """Which positions of a tensor's dimension survive; None for geometry."""
    axis = graph.flow.values[number].dims[dim]
    return None if axis is None else ~np.isin(graph.flow.ids.elements(axis), dead)


def _units_at(graph: GraphData, number: int, dim: int) -> set[str]:
    """Names of the units that have channels in a tensor's dimension."""
    axis = graph.flow.values[number].dims[dim]
    if axis is None:
        return set()
    found = np.unique(graph.flow.ids.elements(axis))
    return {unit.name for unit, roots in zip(graph.units, graph.roots)
            if np.isin(roots, found).any()}


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """The first operator of a sliced model that is not as predicted.

    Args:
        text: Operator, source line and what differs.
        units: Names of the units whose channels are in the dimensions that differ.
    """

    text: str
    units: frozenset[str]


def first_mismatch(graph: GraphData, keep: Mapping[str, torch.Tensor], sliced: nn.Module,
                   args: tuple, kwargs: dict[str, Any]) -> Mismatch | None:
    """Trace a sliced model and compare shapes and slice bounds with the graph's prediction.

    Returns:
        None if all is as predicted, as far as the two traces can be compared.
    """
    error: TraceError | None = None
    try:
        program = trace(exposed(structure_copy(sliced)), args, kwargs)
    except TraceError as caught:
        error, program = caught, caught.program
    dead = dead_ids(graph, keep)
    for old, new in zip(graph.program.calls, program.calls):
        if old.name != new.name:
            return None  # a size of 1 may change the operators, so nothing can be compared
        found = _compare(graph, old, new, program.shapes, dead)
        if found is not None:
            return found
    if error is None:
        return None
    at = len(program.calls)
    units: set[str] = set()
    if at < len(graph.program.calls):  # the operator that failed has no result; blame its inputs
        old = graph.program.calls[at]
        for ref in old.refs:
            rank = len(graph.program.shapes[ref.number])
            units.update(*(_units_at(graph, ref.number, dim) for dim in range(rank)))
    return Mismatch(error.cause, frozenset(units))


def _compare(graph: GraphData, old: Call, new: Call, shapes: list[tuple[int, ...]],
             dead: np.ndarray) -> Mismatch | None:
    if old.name in ('slice', 'slice_scatter'):
        source = old.inputs['self'].number
        rank = len(graph.program.shapes[source])
        dim = old.inputs['dim'] % rank
        alive = _alive(graph, source, dim, dead)
        if alive is not None:
            start, stop = slice_bounds(old, len(alive))
            expected = int(alive[:start].sum()), int(alive[:stop].sum())
            got = slice_bounds(new, int(alive.sum()))
            if expected != got and expected[0] != expected[1]:
                return Mismatch(f'{old}: expected bounds {expected}, got {got}',
                                frozenset(_units_at(graph, source, dim)))
    for before, after in zip(old.outputs, new.outputs):
        if before not in graph.program.used or after is None:
            continue
        units: set[str] = set()
        shape: list[int] = []
        for dim, size in enumerate(graph.program.shapes[before]):
            alive = _alive(graph, before, dim, dead)
            shape.append(size if alive is None else int(alive.sum()))
            if len(shapes[after]) <= dim or shape[-1] != shapes[after][dim]:
                units |= _units_at(graph, before, dim)
        if tuple(shape) != shapes[after]:
            return Mismatch(f'{old}: expected shape {tuple(shape)}, got {shapes[after]}',
                            frozenset(units))
    return None


def slice_bounds(call: Call, size: int) -> tuple[int, int]:
    """Start and stop of a slice, normalised."""
    start, stop, _ = slice(call.inputs['start'] or 0, call.inputs['end']).indices(size)
    return start, max(start, stop)
