"""Compare the trace of a sliced model with what the graph predicts of it."""
from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from .data import GraphData
from .errors import TraceError
from .ids import Axis
from .stand_ins import exposed
from .trace import Call, trace


class Choice:
    """A choice of channels, as the ids of a graph.

    Args:
        graph: The graph.
        keep: Unit name -> Boolean mask of the channels that stay.
    """

    def __init__(self, graph: GraphData, keep: Mapping[str, torch.Tensor]) -> None:
        self._flow, parts = graph.flow, [np.zeros(0, int)]
        for unit in graph.units:
            if unit.name in keep:
                member = unit.members[0]
                axis = self._flow.leaves[member.name].dims[member.dim]
                assert axis is not None  # it is of channels
                lost = member.indices[~keep[unit.name]].reshape(-1).numpy()
                parts.append(self._flow.ids.elements(axis)[lost])
        dead = np.concatenate(parts)
        self._dead = np.zeros(dead.max(initial=-1) + 2, bool)
        self._dead[dead] = True
        self._alive: dict[Axis, np.ndarray] = {}

    def alive(self, number: int, dim: int) -> np.ndarray | None:
        """Which positions of a tensor's dimension survive; None for geometry."""
        axis = self._flow.values[number].dims[dim]
        if axis is None:
            return None
        if axis not in self._alive:
            last = len(self._dead) - 1  # ids beyond the dead ones live
            self._alive[axis] = ~self._dead[np.minimum(self._flow.ids.elements(axis), last)]
        return self._alive[axis]


def _units_at(graph: GraphData, number: int, dim: int) -> set[str]:
    """Names of the units that have channels in a tensor's dimension."""
    axis = graph.flow.values[number].dims[dim]
    return set() if axis is None else graph.units_in(graph.flow.ids.elements(axis))


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """The first operator of a sliced model that is not as predicted.

    Args:
        text: Operator, source line and what differs.
        units: Names of the units whose channels are in the dimensions that differ.
        call: The operator in the trace of the whole model, None where it is not known.
    """

    text: str
    units: frozenset[str]
    call: Call | None = None

    @property
    def place(self) -> tuple[str, str] | None:
        """Operator and source line, None where they are not known."""
        return None if self.call is None else (self.call.name, self.call.source)


def units_alike(graph: GraphData, mismatch: Mismatch, among: Collection[str]) -> list[str]:
    """Return the units that pass the operator of a mismatch elsewhere: by the same source line.

    Args:
        graph: The graph.
        mismatch: What failed.
        among: Names of the units that are asked about.
    """
    found: set[str] = set()
    for call in graph.program.calls:
        if (call.name, call.source) == mismatch.place:
            found |= _units_of(graph, call)
    return [name for name in among if name in found]


def _units_of(graph: GraphData, call: Call) -> set[str]:
    """Names of the units that have channels in what an operator receives."""
    return {name for ref in call.refs
            for dim in range(len(graph.program.shapes[ref.number]))
            for name in _units_at(graph, ref.number, dim)}


def first_mismatch(graph: GraphData, keep: Mapping[str, torch.Tensor], sliced: nn.Module,
                   args: tuple, kwargs: dict[str, Any]) -> Mismatch | None:
    """Trace a sliced model and compare shapes and slice bounds with the graph's prediction.

    Args:
        graph: Of the whole model.
        keep: Unit name -> Boolean mask of the channels that stay.
        sliced: A copy in eval mode that nobody else uses.
        args: Positional inputs.
        kwargs: Keyword inputs.

    Returns:
        None if all is as predicted, as far as the two traces can be compared.
    """
    error: TraceError | None = None
    try:
        program = trace(exposed(sliced), args, kwargs)
    except TraceError as caught:
        error, program = caught, caught.program
    choice = Choice(graph, keep)
    for old, new in zip(graph.program.calls, program.calls):
        if old.name != new.name:
            return None  # a size of 1 may change the operators, so nothing can be compared
        found = _compare(graph, old, new, program.shapes, choice)
        if found is not None:
            return found
    if error is None:
        return None
    at = len(program.calls)
    if at >= len(graph.program.calls):
        return Mismatch(error.cause, frozenset())
    failed = graph.program.calls[at]  # it has no result; blame its inputs
    return Mismatch(error.cause, frozenset(_units_of(graph, failed)), failed)


def _compare(graph: GraphData, old: Call, new: Call, shapes: list[tuple[int, ...]],
             choice: Choice) -> Mismatch | None:
    if old.name in ('slice', 'slice_scatter'):
        source = old.inputs['self'].number
        rank = len(graph.program.shapes[source])
        dim = old.inputs['dim'] % rank
        alive = choice.alive(source, dim)
        if alive is not None:
            start, stop = slice_bounds(old, len(alive))
            expected = int(alive[:start].sum()), int(alive[:stop].sum())
            got = slice_bounds(new, int(alive.sum()))
            if expected != got and expected[0] != expected[1]:
                return Mismatch(f'{old}: expected bounds {expected}, got {got}',
                                frozenset(_units_at(graph, source, dim)), old)
    for before, after in zip(old.outputs, new.outputs):
        if before not in graph.program.used or after is None:
            continue
        units: set[str] = set()
        shape: list[int] = []
        for dim, size in enumerate(graph.program.shapes[before]):
            alive = choice.alive(before, dim)
            shape.append(size if alive is None else int(alive.sum()))
            if len(shapes[after]) <= dim or shape[-1] != shapes[after][dim]:
                units |= _units_at(graph, before, dim)
        if tuple(shape) != shapes[after]:
            return Mismatch(f'{old}: expected shape {tuple(shape)}, got {shapes[after]}',
                            frozenset(units), old)
    return None


def slice_bounds(call: Call, size: int) -> tuple[int, int]:
    """Start and stop of a slice, normalised."""
    start, stop, _ = slice(call.inputs['start'] or 0, call.inputs['end']).indices(size)
    return start, max(start, stop)
