"""Views: merging and splitting dimensions."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..flow import FREEZE, Flow, Op, Origin, SplitSite, Value
from .registry import rule


def runs(a: Sequence[int], b: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Smallest runs of dimensions of two shapes that hold the same elements."""
    i = j = 0
    found = []
    while i < len(a) or j < len(b):
        left, right, size_a, size_b = [], [], 1, 1
        if i < len(a):
            left, size_a, i = [i], a[i], i + 1
        if j < len(b):
            right, size_b, j = [j], b[j], j + 1
        while size_a != size_b:
            if size_a < size_b:
                size_a *= a[i]
                left.append(i)
                i += 1
            else:
                size_b *= b[j]
                right.append(j)
                j += 1
        while i < len(a) and a[i] == 1 and (j >= len(b) or b[j] != 1):
            left.append(i)
            i += 1
        while j < len(b) and b[j] == 1 and (i >= len(a) or a[i] != 1):
            right.append(j)
            j += 1
        found.append((left, right))
    return found


@rule('view', '_unsafe_view', 'reshape', '_reshape_alias', '_reshape_copy', 'view_copy')
def view(flow: Flow, op: Op) -> Value:
    x, shape = op['self'], op.shape
    if x.shape == shape:
        return Value(shape, x.dims, x.zero, x.origin)
    dims, zero = [None] * len(shape), [False] * len(shape)
    source = [None] * len(shape)
    if math.prod(shape) == 0:
        flow.freeze_all(op, 'view of an empty tensor')
        return Value(shape)
    for left, right in runs(x.shape, shape):
        live = [i for i in left if flow.ids.live(x.dims[i])]
        if not live:
            for i in left:
                flow.freeze(x.dims[i], 'not of channels')
            continue
        keep = max(live, key=lambda i: x.shape[i])
        for i in left:
            if i != keep:
                flow.freeze(x.dims[i], 'merged with another channel dimension')
        _move(flow, x, keep, left, shape, right, dims, zero)
        if len([i for i in left if x.shape[i] > 1]) == 1 and x.origin:
            for j in right:
                if shape[j] == x.shape[keep]:
                    source[j] = x.origin.dims[keep]
    return Value(shape, dims, zero, x.origin and Origin(x.origin.leaf, tuple(source)))


def _move(flow: Flow, x: Value, keep: int, left: list[int], shape: tuple[int, ...],
          right: list[int], dims: list, zero: list[bool]) -> None:
    """Move channel dimension `keep` of the run `left` into the run `right`."""
    axis, ids = x.dims[keep], flow.ids
    assert axis is not None  # it is live
    wide = [j for j in right if shape[j] > 1]
    if len(wide) == 1 and shape[wide[0]] == axis.size:
        dims[wide[0]], zero[wide[0]] = axis, x.zero[keep]
        return
    sizes = [x.shape[i] for i in left]
    flat = np.broadcast_to(
        ids.elements(axis).reshape([-1 if i == keep else 1 for i in left]), sizes).reshape(-1)
    if len(wide) == 1:
        dims[wide[0]], zero[wide[0]] = ids.of(flat.copy()), x.zero[keep]
        return
    table = flat.reshape([shape[j] for j in wide])
    along = [a for a in range(len(wide)) if _varies_only_along(table, a)]
    if along:
        choice = along[0]
    else:
        signature = tuple(table.shape)
        order = _preference(flow, signature)
        flow.sites.append(SplitSite(signature, order, axis))
        choice = flow.policy.get(signature, order[0])
        if choice == FREEZE:
            flow.freeze(axis, f'split into {signature} by a view')
            return
        ids.tie_columns(np.moveaxis(table, choice, 0).reshape(table.shape[choice], -1))
    first = np.moveaxis(table, choice, 0).reshape(table.shape[choice], -1)[:, 0]
    kept = ids.of(np.ascontiguousarray(first))
    same = kept.size == axis.size and np.array_equal(ids.elements(kept), ids.elements(axis))
    dims[wide[choice]], zero[wide[choice]] = axis if same else kept, x.zero[keep]


def _preference(flow: Flow, signature: tuple[int, ...]) -> tuple[int, ...]:
    """Axes of a split, the likeliest to be prunable first: heads, else the longest."""
    heads = flow.program.heads.get(signature)
    if heads is None and len(signature) == 3 and signature[0] == 3:  # of query, key and value
        heads = 1
    return tuple(sorted(range(len(signature)), key=lambda a: (a != heads, -signature[a])))


def _varies_only_along(table: np.ndarray, axis: int) -> bool:
    rows = np.moveaxis(table, axis, 0).reshape(table.shape[axis], -1)
    return bool((rows == rows[:, :1]).all())
