"""Run the rules over a program until nothing more freezes."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from .flow import Flow, Op, Origin, Value, geometry
from .ids import Axis
from .rules import RULES
from .rules.registry import Result
from .trace import Program, Ref

Slot = tuple  # (leaf name, dimension)


class Frozen:
    """Which positions of which leaf dimension are frozen, by reason number; 0 is live.

    Attributes:
        table: (leaf name, dimension) -> reason numbers.
        sites: Signature of every split that any pass met -> the axes that could be kept. A split
            whose channels froze is met by the first pass only.
    """

    def __init__(self) -> None:
        self.table: dict[Slot, np.ndarray] = {}
        self.sites: dict[tuple[int, ...], tuple[int, ...]] = {}

    def update(self, flow: Flow) -> bool:
        """Take over what a pass froze; return whether that was anything new."""
        changed = False
        self.sites.update({site.signature: site.candidates for site in flow.sites})
        for name, value in flow.leaves.items():
            for dim, axis in enumerate(value.dims):
                if axis is None or flow.ids.untouched(axis):
                    continue
                found = flow.ids.reasons(axis)
                before = self.table.get((name, dim))
                if before is None:
                    before = np.zeros(axis.size, np.int32)
                after = np.where(before > 0, before, found)
                changed |= bool((after != before).any())
                self.table[name, dim] = after
        return changed


def propagate(program: Program, policy: Mapping[tuple[int, ...], int], keep: Collection[str] = (),
              free_outputs: Mapping[int, Collection[int]] | None = None) -> tuple[Flow, Frozen]:
    """Give every dimension of every tensor its channel ids.

    A later pass starts from what the earlier ones froze, so that rules which ask whether a
    dimension is live see the final answer; two passes usually suffice.

    Args:
        program: The trace.
        policy: For each split signature the dimension kept live, or `FREEZE`.
        keep: Parameters that stay whole.
        free_outputs: Output number -> dimensions of it that may shrink.

    Returns:
        The last pass, and the frozen positions with their reasons.
    """
    frozen = Frozen()
    book: tuple[list, dict] | None = None
    while True:
        flow = Flow(program, policy)
        if book is not None:
            flow.reasons, flow._reason_index = book
        book = flow.reasons, flow._reason_index
        _plant(flow, frozen, keep)
        for call in program.calls:
            flow.call = call
            _step(flow, call)
        flow.call = None
        _harvest(flow, free_outputs or {})
        if not frozen.update(flow):
            return flow, frozen


def _plant(flow: Flow, frozen: Frozen, keep: Collection[str]) -> None:
    """Give the parameters and buffers their ids."""
    program, ids = flow.program, flow.ids
    used = program.used
    for name, number in program.leaves.items():
        shape = program.shapes[number]
        dims: list[Axis | None] = []
        for dim, size in enumerate(shape):
            seed = frozen.table.get((name, dim))
            if size <= 1 or (seed is not None and (seed > 0).all()):
                dims.append(None)
                continue
            axis = ids.axis(size)
            if name in keep:
                flow.freeze(axis, 'kept whole on request')
            elif number not in used:
                flow.freeze(axis, 'not used in the forward pass')
            elif seed is not None and (seed > 0).any():
                elements = ids.elements(axis)
                for reason in np.unique(seed[seed > 0]):
                    ids.freeze_elements(elements[seed == reason], int(reason))
            dims.append(axis)
        value = Value(shape, dims, [axis is not None for axis in dims],
                      Origin(name, tuple(range(len(shape)))))
        flow.leaves[name] = value
        flow.values[number] = Value(shape, value.dims, value.zero, value.origin)
    for number in program.arguments:
        flow.values[number] = Value(program.shapes[number])


def _step(flow: Flow, call: Any) -> None:
    inputs = {key: flow.resolve(item) for key, item in call.inputs.items()}
    shapes = [None if number is None else flow.program.shapes[number] for number in call.outputs]
    op = Op(call, inputs, shapes)
    function = RULES.get(call.name)
    if flow.program.used.isdisjoint(call.outputs):  # nobody receives it
        results: Result = geometry(shapes)
    elif function is None:
        flow.freeze_all(op, f'no rule for operator {call.name}')
        results = geometry(shapes)
    else:
        results = function(flow, op)
    if isinstance(results, Value):
        results = [results]
    for number, value in zip(call.outputs, results):
        if number is not None:
            assert value is not None, f'the rule of {call} gives no value for a tensor'
            flow.store(number, value)


def _harvest(flow: Flow, free_outputs: Mapping[int, Collection[int]]) -> None:
    """Freeze the model's outputs, but for the dimensions that may shrink."""
    for i, number in enumerate(flow.program.outputs):
        value = flow.resolve(Ref(number))
        free = {dim % len(value.shape) for dim in free_outputs.get(i, ())}
        for dim, axis in enumerate(value.dims):
            if dim not in free:
                flow.freeze(axis, 'output of the model')
