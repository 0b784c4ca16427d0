"""Union-find over channel ids, a whole dimension at a time.

A dimension of a tensor is an `Axis`: a run of ids that is united with other runs as one block, in
constant time. Only where a model takes dimensions apart (concatenation, splitting, merging in a
view) is an axis spelled out as a vector of element ids, which are united in vector operations.
"""
from __future__ import annotations

import numpy as np


class Axis:
    """A run of `size` channel ids: a node of the block-level union-find."""

    __slots__ = ('elements', 'parent', 'reason', 'size', 'strong')

    def __init__(self, size: int, strong: bool) -> None:
        self.size = size
        self.strong = strong
        self.parent: Axis | None = None
        self.reason = 0
        self.elements: np.ndarray | None = None


class IdSpace:
    """All ids of one analysis.

    An id is frozen when its `reason` is not 0, and weak when nothing but a broadcast size stands
    behind it; an id is live when it is neither.
    """

    def __init__(self) -> None:
        self._parent = np.arange(1024)
        self._reason = np.zeros(1024, np.int32)
        self._strong = np.zeros(1024, bool)
        self._count = 0

    # ---- making ids
    def axis(self, size: int, strong: bool = True) -> Axis:
        """Make a run of new ids."""
        return Axis(size, strong)

    def of(self, elements: np.ndarray) -> Axis:
        """Make an axis out of existing element ids."""
        axis = Axis(len(elements), False)
        axis.elements = elements
        return axis

    def _fresh(self, size: int, strong: bool, reason: int) -> np.ndarray:
        while self._count + size > len(self._parent):
            length = len(self._parent)
            self._parent = np.concatenate([self._parent, np.arange(length, 2 * length)])
            self._reason = np.concatenate([self._reason, np.zeros(length, np.int32)])
            self._strong = np.concatenate([self._strong, np.zeros(length, bool)])
        ids = np.arange(self._count, self._count + size)
        self._count += size
        self._strong[ids] = strong
        self._reason[ids] = reason
        return ids

    # ---- finding
    @staticmethod
    def root(axis: Axis) -> Axis:
        """Return the axis that stands for the block."""
        while axis.parent is not None:
            if axis.parent.parent is not None:
                axis.parent = axis.parent.parent
            axis = axis.parent
        return axis

    def elements(self, axis: Axis) -> np.ndarray:
        """Return the canonical element ids of an axis, spelling it out if need be."""
        root = self.root(axis)
        if root.elements is None:
            root.elements = self._fresh(root.size, root.strong, root.reason)
        return self.find(root.elements)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Return the canonical id of each id."""
        found = self._parent[ids]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                break
            found = above
        self._parent[ids] = found
        return found

    # ---- uniting
    def union(self, a: Axis, b: Axis) -> None:
        """Unite two axes of one size, position by position."""
        a, b = self.root(a), self.root(b)
        if a is b:
            return
        if a.size != b.size:
            raise ValueError(f'axes of {a.size} and {b.size} channels cannot be united')
        if a.elements is None and b.elements is not None:
            a, b = b, a
        b.parent = a
        if a.elements is None:
            a.strong |= b.strong
            a.reason = max(a.reason, b.reason)
        elif b.elements is None:
            if b.reason:
                self.freeze_elements(a.elements, b.reason)
            if b.strong:
                self._strong[self.find(a.elements)] = True
        else:
            self.union_elements(a.elements, b.elements)

    def union_elements(self, a: np.ndarray, b: np.ndarray) -> None:
        """Unite two vectors of element ids, position by position."""
        lost = []
        while True:  # hook the larger root under the smaller until all agree
            root_a, root_b = self.find(a), self.find(b)
            differ = root_a != root_b
            if not differ.any():
                break
            low = np.minimum(root_a, root_b)[differ]
            high = np.maximum(root_a, root_b)[differ]
            np.minimum.at(self._parent, high, low)
            lost.append(high)
        for old in lost:
            strong = old[self._strong[old]]
            self._strong[self.find(strong)] = True
            frozen = old[self._reason[old] > 0]
            np.maximum.at(self._reason, self.find(frozen), self._reason[frozen])

    def tie_columns(self, table: np.ndarray) -> np.ndarray:
        """Unite all ids within each row of a table; return its first column."""
        first = np.ascontiguousarray(table[:, 0])
        for column in range(1, table.shape[1]):
            self.union_elements(first, np.ascontiguousarray(table[:, column]))
        return first

    # ---- freezing
    def freeze(self, axis: Axis, reason: int) -> None:
        """Freeze every id of an axis that is not frozen yet."""
        root = self.root(axis)
        if root.elements is not None:
            self.freeze_elements(root.elements, reason)
        elif not root.reason:
            root.reason = reason

    def freeze_elements(self, ids: np.ndarray, reason: int) -> None:
        """Freeze element ids that are not frozen yet."""
        roots = self.find(ids)
        self._reason[roots[self._reason[roots] == 0]] = reason

    def live(self, axis: Axis | None) -> bool:
        """Whether any id of the axis is live."""
        if axis is None:
            return False
        root = self.root(axis)
        if root.elements is None:
            return root.strong and not root.reason
        roots = self.find(root.elements)
        return bool((self._strong[roots] & (self._reason[roots] == 0)).any())

    def untouched(self, axis: Axis) -> bool:
        """Whether nothing of a block that was never taken apart is frozen."""
        root = self.root(axis)
        return root.elements is None and not root.reason

    def live_mask(self, axis: Axis) -> np.ndarray:
        """Which ids of the axis are live."""
        roots = self.elements(axis)
        return self._strong[roots] & (self._reason[roots] == 0)

    def reasons(self, axis: Axis) -> np.ndarray:
        """Reason number of each id of the axis, 0 where it is not frozen."""
        root = self.root(axis)
        if root.elements is None:
            return np.full(root.size, root.reason, np.int32)
        return self._reason[self.find(root.elements)]
