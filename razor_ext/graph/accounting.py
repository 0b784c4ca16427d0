"""Multiply-accumulates and parameters as polynomials in the channel counts of the units."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .blocks import Block
from .flow import Flow
from .ids import Axis


class Polynomial:
    """A sum of products of sizes, each size being a constant plus multiples of channel counts.

    Args:
        width: Number of units.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._forms: dict[bytes, int] = {}
        self._rows: list[np.ndarray] = []
        self._terms: list[tuple[int, tuple[int, ...]]] = []
        self._compiled: tuple[np.ndarray, ...] | None = None

    def add(self, constant: int, sizes: Sequence[np.ndarray]) -> None:
        """Add a product; each size is a row [1 + width]: constant, then multiples."""
        factors = []
        for row in sizes:
            if not row[1:].any():
                constant *= int(row[0])
                continue
            key = row.tobytes()
            if key not in self._forms:
                self._forms[key] = len(self._rows)
                self._rows.append(row)
            factors.append(self._forms[key])
        self._terms.append((constant, tuple(sorted(factors))))
        self._compiled = None

    def _compile(self) -> tuple[np.ndarray, ...]:
        merged: dict[tuple[int, ...], int] = {}
        for constant, factors in self._terms:
            merged[factors] = merged.get(factors, 0) + constant
        one = len(self._rows)
        depth = max((len(factors) for factors in merged), default=0)
        index = np.full((len(merged), depth), one)
        for i, factors in enumerate(merged):
            index[i, :len(factors)] = factors
        rows = np.zeros((one + 1, 1 + self._width), np.int64)
        if self._rows:
            rows[:one] = self._rows
        rows[one, 0] = 1
        return rows, index, np.array(list(merged.values()), np.int64)

    def __call__(self, counts: np.ndarray) -> int:
        """Evaluate at channel counts [width]."""
        if self._compiled is None:
            self._compiled = self._compile()
        rows, index, constants = self._compiled
        sizes = rows[:, 0] + rows[:, 1:] @ counts
        return int((constants * sizes[index].prod(axis=1)).sum())


def size_rows(blocks: Sequence[Block]):
    """Return a function that gives an axis of the flow as a polynomial's size row."""
    top = max((int(block.roots.max()) for block in blocks), default=-1)
    unit_of = np.full(top + 2, -1)
    for number, block in enumerate(blocks):
        unit_of[block.roots] = number
    lengths = np.array([len(block.roots) for block in blocks], np.int64)
    known: dict[Axis, np.ndarray] = {}

    def row(flow: Flow, axis: Axis | None, size: int) -> np.ndarray:
        root = None if axis is None else flow.ids.root(axis)
        if root is not None and root in known:
            return known[root]
        result = np.zeros(1 + len(blocks), np.int64)
        if axis is None or root is None or not flow.ids.live(axis):
            result[0] = size
            return result
        units = unit_of[np.minimum(flow.ids.elements(axis), top + 1)]
        result[0] = (units < 0).sum()
        counts = np.bincount(units[units >= 0], minlength=len(blocks))
        if (counts % np.maximum(lengths, 1)).any():
            raise AssertionError('a dimension holds an uneven part of a unit')
        result[1:] = counts // np.maximum(lengths, 1)
        known[root] = result
        return result

    return row


def polynomials(flow: Flow, blocks: Sequence[Block], parameters: Mapping[str, tuple[int, ...]]
                ) -> tuple[Polynomial, Polynomial]:
    """Build the MACs of the traced input and the parameter count.

    Args:
        flow: A finished pass.
        blocks: The units, in order; what belongs to none of them keeps its full size.
        parameters: Shapes of the parameters that count.
    """
    row = size_rows(blocks)
    macs, params = Polynomial(len(blocks)), Polynomial(len(blocks))
    for contraction in flow.contractions:
        macs.add(contraction.constant, [row(flow, axis, axis.size) for axis in contraction.axes])
    for name, shape in parameters.items():
        dims = flow.leaves[name].dims
        params.add(1, [row(flow, axis, size) for axis, size in zip(dims, shape)])
    return macs, params


#: Operators whose results `activations` counts.
PRODUCTS = frozenset(('convolution', '_convolution', 'mm', 'bmm', 'addmm', 'baddbmm', 'linear'))


def activations(flow: Flow, blocks: Sequence[Block]) -> Polynomial:
    """Build the number of elements that convolutions and matrix products return.

    Args:
        flow: A finished pass.
        blocks: The units, in order.
    """
    row, total = size_rows(blocks), Polynomial(len(blocks))
    for call in flow.program.calls:
        if call.name in PRODUCTS:
            number = call.outputs[0]
            assert number is not None  # a product is a tensor
            value = flow.values[number]
            total.add(1, [row(flow, axis, size) for axis, size in zip(value.dims, value.shape)])
    return total
