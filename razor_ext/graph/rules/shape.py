"""Operators that move, join, cut and repeat dimensions."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..flow import Flow, Op, Origin, Value
from ..ids import Axis
from .registry import normal, rule


def permuted(x: Value, order: Sequence[int]) -> Value:
    """Reorder dimensions."""
    origin = x.origin and Origin(x.origin.leaf, tuple(x.origin.dims[i] for i in order))
    return Value([x.shape[i] for i in order], [x.dims[i] for i in order],
                 [x.zero[i] for i in order], origin)


@rule('t', 'numpy_T')
def t(flow: Flow, op: Op) -> Value:
    return permuted(op['self'], range(len(op.shape))[::-1])


@rule('permute')
def permute(flow: Flow, op: Op) -> Value:
    return permuted(op['self'], [normal(i, len(op.shape)) for i in op['dims']])


@rule('transpose')
def transpose(flow: Flow, op: Op) -> Value:
    order = list(range(len(op.shape)))
    a, b = normal(op['dim0'], len(order)), normal(op['dim1'], len(order))
    order[a], order[b] = order[b], order[a]
    return permuted(op['self'], order)


@rule('unsqueeze')
def unsqueeze(flow: Flow, op: Op) -> Value:
    x, k = op['self'], normal(op['dim'], len(op.shape))
    origin = x.origin and Origin(x.origin.leaf, (*x.origin.dims[:k], None, *x.origin.dims[k:]))
    return Value(op.shape, [*x.dims[:k], None, *x.dims[k:]], [*x.zero[:k], False, *x.zero[k:]],
                 origin)


@rule('squeeze')
def squeeze(flow: Flow, op: Op) -> Value:
    x = op['self']
    rank = len(x.shape)
    if len(op.shape) == rank:  # a linear layer of one vector takes its extra dimension away later
        return permuted(x, list(range(rank)))
    dims = op.get('dim', list(range(rank)))
    chosen = {normal(i, rank) for i in ([dims] if isinstance(dims, int) else dims)}
    return permuted(x, [i for i in range(rank) if i not in chosen or x.shape[i] != 1])


@rule('expand')
def expand(flow: Flow, op: Op) -> Value:
    x = op['self']
    offset = len(op.shape) - len(x.shape)
    dims, zero, source = [], [], []
    for i, size in enumerate(op.shape):
        j = i - offset
        if j >= 0 and x.shape[j] == size:
            dims.append(x.dims[j])
            zero.append(x.zero[j])
            source.append(x.origin.dims[j] if x.origin else None)
        else:  # a broadcast size belongs to whatever it meets
            dims.append(flow.ids.axis(size, strong=False))
            zero.append(False)
            source.append(None)
    return Value(op.shape, dims, zero, x.origin and Origin(x.origin.leaf, tuple(source)))


@rule('repeat')
def repeat(flow: Flow, op: Op) -> Value:
    x = op['self']
    offset = len(op.shape) - len(x.shape)
    dims, zero = [], []
    for i, times in enumerate(op['repeats']):
        j = i - offset
        axis = x.dims[j] if j >= 0 else None
        if axis is not None and times > 1:
            axis = flow.ids.of(np.tile(flow.ids.elements(axis), times))
        elif j < 0 or x.shape[j] == 1:
            axis = flow.ids.axis(op.shape[i], strong=False) if times > 1 else None
        dims.append(axis)
        zero.append(j >= 0 and x.zero[j])
    return Value(op.shape, dims, zero)


@rule('cat', 'concat')
def cat(flow: Flow, op: Op) -> Value:
    pieces = [value for value in op['tensors'] if value.shape != (0, )]
    k = normal(op['dim'], len(op.shape))
    dims, zero = [], []
    for i in range(len(op.shape)):
        if i == k:
            dims.append(flow.join([v.dims[i] for v in pieces], [v.shape[i] for v in pieces]))
            zero.append(all(v.zero[i] or not flow.ids.live(v.dims[i]) for v in pieces))
            continue
        axis = pieces[0].dims[i]
        for value in pieces[1:]:
            axis = flow.meet(axis, value.dims[i])
        dims.append(axis)
        zero.append(all(v.zero[i] for v in pieces))
    return Value(op.shape, dims, zero)


@rule('stack')
def stack(flow: Flow, op: Op) -> Value:
    pieces, k = op['tensors'], normal(op['dim'], len(op.shape))
    dims = list(pieces[0].dims)
    for value in pieces[1:]:
        dims = [flow.meet(a, b) for a, b in zip(dims, value.dims)]
    zero = [all(column) for column in zip(*(value.zero for value in pieces))]
    return Value(op.shape, [*dims[:k], None, *dims[k:]], [*zero[:k], False, *zero[k:]])


@rule('split', 'split_with_sizes', 'chunk', 'unsafe_split', 'unsafe_chunk',
      'unsafe_split_with_sizes', 'tensor_split', 'split_copy', 'split_with_sizes_copy')
def split(flow: Flow, op: Op) -> list[Value]:
    x, k = op['self'], normal(op['dim'], len(op['self'].shape))
    outputs, start = [], 0
    for shape in op.tensor_shapes:
        dims = list(x.dims)
        dims[k] = flow.part(dims[k], start, start + shape[k])
        outputs.append(Value(shape, dims, x.zero))
        start += shape[k]
    return outputs


def bounds(op: Op, size: int) -> tuple[int, int]:
    """Start and stop of a slice operator, normalised."""
    start, stop, _ = slice(op.get('start', 0), op.get('end')).indices(size)
    return start, max(start, stop)


@rule('slice')
def slice_(flow: Flow, op: Op) -> Value:
    x, k = op['self'], normal(op['dim'], len(op.shape))
    start, stop = bounds(op, x.shape[k])
    dims = list(x.dims)
    if op['step'] != 1:
        flow.freeze(dims[k], 'slice with a step')
        dims[k] = None
    dims[k] = flow.part(dims[k], start, stop)
    return Value(op.shape, dims, x.zero, x.origin if op.shape == x.shape else None)


@rule('slice_scatter')
def slice_scatter(flow: Flow, op: Op) -> Value:
    """`self` with the slice replaced by `src`; what is replaced has the ids of `src`."""
    x, src, k = op['self'], op['src'], normal(op['dim'], len(op.shape))
    start, stop = bounds(op, x.shape[k])
    dims: list[Axis | None] = []
    zero: list[bool] = []
    for i in range(len(op.shape)):
        if i == k and op['step'] != 1:
            flow.freeze(x.dims[i], 'write to a slice with a step')
            flow.freeze(src.dims[i], 'write to a slice with a step')
            dims.append(None)
        elif i == k:
            flow.meet(flow.part(x.dims[i], start, stop), src.dims[i])
            dims.append(x.dims[i] if flow.ids.live(x.dims[i]) else None)
        else:
            dims.append(flow.meet(x.dims[i], src.dims[i]))
        zero.append(x.zero[i] and src.zero[i])
    return Value(op.shape, dims, zero)


@rule('select_scatter')
def select_scatter(flow: Flow, op: Op) -> Value:
    x, src, k = op['self'], op['src'], normal(op['dim'], len(op.shape))
    flow.freeze(x.dims[k], 'write to one position')
    rest = [flow.meet(x.dims[i], src.dims[i - (i > k)]) for i in range(len(op.shape)) if i != k]
    zero = [x.zero[i] and src.zero[i - (i > k)] for i in range(len(op.shape)) if i != k]
    return Value(op.shape, [*rest[:k], None, *rest[k:]], [*zero[:k], False, *zero[k:]])


@rule('select')
def select(flow: Flow, op: Op) -> Value:
    x = op['self']
    k = normal(op['dim'], len(x.shape))
    flow.freeze(x.dims[k], 'one position is selected')
    return permuted(x, [i for i in range(len(x.shape)) if i != k])


@rule('unbind')
def unbind(flow: Flow, op: Op) -> list[Value]:
    x = op['self']
    k = normal(op['dim'], len(x.shape))
    flow.freeze(x.dims[k], 'taken apart into single positions')
    return [permuted(x, [i for i in range(len(x.shape)) if i != k]) for _ in op.shapes]


@rule('constant_pad_nd')
def pad(flow: Flow, op: Op) -> Value:
    x, amounts, value = op['self'], op['pad'], op['value']
    dims, zero = list(x.dims), list(x.zero)
    for j in range(len(amounts) // 2):
        i = len(x.shape) - 1 - j
        before, after = amounts[2 * j], amounts[2 * j + 1]
        if min(before, after) < 0:
            flow.freeze(dims[i], 'cropped')
            dims[i] = None
        elif dims[i] is not None and before + after:
            dims[i] = flow.join([None, dims[i], None], [before, x.shape[i], after])
    return Value(op.shape, dims, zero if value == 0 else None)


@rule('flip')
def flip(flow: Flow, op: Op) -> Value:
    x = op['self']
    dims = list(x.dims)
    for i in op['dims']:
        if dims[i] is not None:
            dims[i] = flow.ids.of(flow.ids.elements(dims[i])[::-1].copy())
    return Value(op.shape, dims, x.zero)


@rule('roll')
def roll(flow: Flow, op: Op) -> Value:
    x = op['self']
    dims = list(x.dims)
    for i in op['dims'] or range(len(dims)):
        flow.freeze(dims[i], 'rolled')
        dims[i] = None
    return Value(op.shape, dims, x.zero)
