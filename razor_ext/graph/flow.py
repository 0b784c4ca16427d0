"""What is known of each tensor of a trace, and the moves rules make with it."""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .ids import Axis, IdSpace
from .trace import Call, Program, Ref

FREEZE = -1
"""Policy value: freeze a channel dimension that a view splits."""


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why ids are frozen: what was done to them, by which operator, at which source line."""

    text: str
    operator: str
    source: str


@dataclasses.dataclass(frozen=True)
class Origin:
    """The parameter or buffer a tensor is a plain rearrangement or rescaling of.

    Args:
        leaf: Name of the parameter or buffer.
        dims: For each dimension of the tensor the leaf's dimension, or None.
    """

    leaf: str
    dims: tuple[int | None, ...]


class Value:
    """What is known of one tensor.

    Args:
        shape: Its shape.
        dims: For each dimension None (geometry, never prunable) or an axis of channel ids.
        zero: For each dimension whether the slice of a removed channel holds exactly 0 once every
            member slice of that channel is 0.
        origin: The leaf it comes from, if it is one in essence.
    """

    __slots__ = ('dims', 'origin', 'shape', 'zero')

    def __init__(self, shape: Sequence[int], dims: Sequence[Axis | None] | None = None,
                 zero: Sequence[bool] | None = None, origin: Origin | None = None) -> None:
        self.shape = tuple(shape)
        self.dims: list[Axis | None] = list(dims) if dims is not None else [None] * len(self.shape)
        self.zero = list(zero) if zero is not None else [False] * len(self.shape)
        self.origin = origin

    def leaf_dim(self, dim: int) -> tuple[str, int] | None:
        """Return the leaf that a dimension comes from, and which of its own it is."""
        own = None if self.origin is None else self.origin.dims[dim]
        return None if self.origin is None or own is None else (self.origin.leaf, own)


class Op:
    """A call with its tensor arguments replaced by values."""

    def __init__(self, call: Call, inputs: dict[str, Any], shapes: list[tuple[int, ...] | None]):
        self.call = call
        self.name = call.name
        self.inputs = inputs
        self.shapes = shapes

    def __getitem__(self, key: str) -> Any:
        return self.inputs[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return an argument, or `default` where it is absent or None."""
        value = self.inputs.get(key)
        return default if value is None else value

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first output."""
        shape = self.shapes[0]
        assert shape is not None, f'{self.call} returns no tensor'
        return shape

    @property
    def tensor_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the outputs, all of which are tensors."""
        shapes = [shape for shape in self.shapes if shape is not None]
        assert len(shapes) == len(self.shapes), f'{self.call} returns more than tensors'
        return shapes

    @property
    def values(self) -> list[Value]:
        """Every input tensor, those in lists included."""
        found = []
        stack = list(self.inputs.values())
        while stack:
            item = stack.pop()
            if isinstance(item, Value):
                found.append(item)
            elif isinstance(item, list):
                stack.extend(item)
        return found


@dataclasses.dataclass
class Contraction:
    """A product that sums over a dimension: what multiply-accumulates are counted from.

    Args:
        constant: Product of the sizes that never change.
        axes: The axes whose sizes multiply it.
        producer: (leaf, dimension) whose index is the output channel, if the weight is a leaf.
    """

    constant: int
    axes: tuple[Axis, ...]
    producer: tuple[str, int] | None


@dataclasses.dataclass
class SplitSite:
    """A view that splits a channel dimension whose ids do not repeat."""

    signature: tuple[int, ...]
    candidates: tuple[int, ...]
    axis: Axis


class Flow:
    """The state of one pass over a program: ids, values, and what the pass found."""

    def __init__(self, program: Program, policy: Mapping[tuple[int, ...], int]) -> None:
        self.program = program
        self.policy = policy
        self.ids = IdSpace()
        self.values: dict[int, Value] = {}
        self.leaves: dict[str, Value] = {}
        self.reasons: list[Reason] = [Reason('', '', '')]
        self.contractions: list[Contraction] = []
        self.consumed: set[tuple[str, int]] = set()
        self.sites: list[SplitSite] = []
        self.call: Call | None = None
        self._reason_index: dict[Reason, int] = {}

    # ---- freezing
    def reason(self, text: str) -> int:
        """Number of a reason at the current operator."""
        call = self.call
        reason = Reason(text, call.name if call else '', call.source if call else '')
        if reason not in self._reason_index:
            self._reason_index[reason] = len(self.reasons)
            self.reasons.append(reason)
        return self._reason_index[reason]

    def freeze(self, axis: Axis | None, text: str) -> None:
        """Freeze a dimension; no-op on geometry."""
        if axis is not None:
            self.ids.freeze(axis, self.reason(text))

    def freeze_all(self, op: Op, text: str) -> None:
        """Freeze every dimension of every input."""
        for value in op.values:
            for axis in value.dims:
                self.freeze(axis, text)

    def frozen_axis(self, size: int, text: str) -> Axis:
        """Make an axis that is frozen from the start."""
        axis = self.ids.axis(size)
        self.freeze(axis, text)
        return axis

    # ---- uniting
    def meet(self, a: Axis | None, b: Axis | None) -> Axis | None:
        """Unite two dimensions that must keep the same positions."""
        if a is None and b is None:
            return None
        if a is None or b is None:
            self.freeze(a if b is None else b, 'meets a dimension that is not of channels')
            return None
        if a is not b:
            self.ids.union(a, b)
        return a

    def part(self, axis: Axis | None, start: int, stop: int) -> Axis | None:
        """Return the run of a dimension between two positions."""
        if axis is None or (start == 0 and stop == axis.size):
            return axis
        return self.ids.of(self.ids.elements(axis)[start:stop])

    def join(self, axes: Sequence[Axis | None], sizes: Sequence[int]) -> Axis | None:
        """Concatenate dimensions; pieces of geometry are frozen ids."""
        if not any(self.ids.live(axis) for axis in axes):
            for axis in axes:
                self.freeze(axis, 'joined with dimensions that are not of channels')
            return None
        pieces = [axis if axis is not None else self.frozen_axis(size, 'not a channel dimension')
                  for axis, size in zip(axes, sizes)]
        return self.ids.of(np.concatenate([self.ids.elements(piece) for piece in pieces]))

    # ---- contracting
    def contract(self, x: Value, i: int, w: Value, j: int) -> None:
        """Sum the product of dimension `i` of `x` and dimension `j` of `w`."""
        axis = self.meet(x.dims[i], w.dims[j])
        if axis is not None and not (x.zero[i] or w.zero[j]):
            self.freeze(axis, 'summed over while removed channels are not 0')
        source = w.leaf_dim(j)
        if source is not None:
            self.consumed.add(source)

    def count(self, sizes: Sequence[tuple[int, Axis | None]],
              producer: tuple[str, int] | None = None) -> None:
        """Note multiply-accumulates: the product of sizes, of which some are channel counts."""
        constant, axes = 1, []
        for size, axis in sizes:
            if axis is None:
                constant *= size
            else:
                axes.append(axis)
        self.contractions.append(Contraction(constant, tuple(axes), producer))

    # ---- values
    def resolve(self, item: Any) -> Any:
        """Replace references in a call's argument by values."""
        if isinstance(item, Ref):
            value = self.values.get(item.number)
            if value is None:  # a constant made outside the trace
                value = self.values[item.number] = Value(self.program.shapes[item.number])
            return value
        if isinstance(item, list):
            return [self.resolve(part) for part in item]
        return item

    def store(self, number: int, value: Value) -> None:
        """Keep the value of a tensor; a single position is never a channel dimension."""
        expected = self.program.shapes[number]
        if value.shape != expected:
            raise AssertionError(f'the rule of {self.call} gives shape {value.shape}, '
                                 f'not {expected}')
        for i, size in enumerate(value.shape):
            if size <= 1 and value.dims[i] is not None:
                self.freeze(value.dims[i], 'a single channel')
                value.dims[i] = None
            if value.dims[i] is None:
                value.zero[i] = False
        self.values[number] = value


def geometry(shapes: Sequence[tuple[int, ...] | None]) -> list[Value | None]:
    """Outputs without channel dimensions."""
    return [None if shape is None else Value(shape) for shape in shapes]
