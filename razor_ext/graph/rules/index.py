"""Indexing, embeddings and rearrangements of channels with space."""
from __future__ import annotations

import numpy as np

from ..flow import Flow, Op, Value
from .registry import rule


@rule('embedding')
def embedding(flow: Flow, op: Op) -> Value:
    weight, indices = op['weight'], op['indices']
    flow.freeze(weight.dims[0], 'rows are looked up by number')
    return Value(op.shape, [*indices.dims, weight.dims[1]],
                 [*[False] * len(indices.shape), weight.zero[1]])


@rule('index_select')
def index_select(flow: Flow, op: Op) -> Value:
    x = op['self']
    k = op['dim'] % len(x.shape)
    source = op['index'].origin
    order = None if source is None else flow.program.orders.get(source.leaf)
    for axis in op['index'].dims:
        flow.freeze(axis, 'holds positions')
    dims = list(x.dims)
    if order is None:
        flow.freeze(dims[k], 'positions are picked by number')
        dims[k] = None
    elif dims[k] is not None:
        dims[k] = flow.ids.of(flow.ids.elements(dims[k])[order])
    return Value(op.shape, dims, x.zero)


@rule('index')
def index(flow: Flow, op: Op) -> Value:
    x = op['self']
    used = [i for i, item in enumerate(op['indices']) if isinstance(item, Value)]
    for i in used:
        for axis in op['indices'][i].dims:
            flow.freeze(axis, 'holds positions')
    if len(used) != 1:
        flow.freeze_all(op, 'positions are picked by number')
        return Value(op.shape)
    k, rank = used[0], len(op['indices'][used[0]].shape)
    flow.freeze(x.dims[k], 'positions are picked by number')
    if len(op.shape) != len(x.shape) - 1 + rank:  # a Boolean mask
        flow.freeze_all(op, 'positions are picked by a mask')
        return Value(op.shape)
    return Value(op.shape, [*x.dims[:k], *[None] * rank, *x.dims[k + 1:]],
                 [*x.zero[:k], *[False] * rank, *x.zero[k + 1:]])


@rule('pixel_shuffle')
def pixel_shuffle(flow: Flow, op: Op) -> Value:
    x, square = op['self'], op['upscale_factor'] ** 2
    axis = x.dims[-3]
    for other in x.dims[-2:]:
        flow.freeze(other, 'pixel_shuffle mixes a spatial dimension')
    if axis is not None:
        axis = flow.ids.of(flow.ids.tie_columns(flow.ids.elements(axis).reshape(-1, square)))
    return Value(op.shape, [*x.dims[:-3], axis, None, None], [*x.zero[:-2], False, False])


@rule('pixel_unshuffle')
def pixel_unshuffle(flow: Flow, op: Op) -> Value:
    x, square = op['self'], op['downscale_factor'] ** 2
    axis = x.dims[-3]
    for other in x.dims[-2:]:
        flow.freeze(other, 'pixel_unshuffle mixes a spatial dimension')
    if axis is not None:
        axis = flow.ids.of(np.repeat(flow.ids.elements(axis), square))
    return Value(op.shape, [*x.dims[:-3], axis, None, None], [*x.zero[:-2], False, False])


@rule('channel_shuffle', 'native_channel_shuffle')
def channel_shuffle(flow: Flow, op: Op) -> Value:
    x = op['self']
    dims = list(x.dims)
    if dims[1] is not None:
        table = flow.ids.elements(dims[1]).reshape(op['groups'], -1)
        flow.ids.tie_columns(np.ascontiguousarray(table.T))
        dims[1] = flow.ids.of(np.ascontiguousarray(table.T).reshape(-1))
    return Value(op.shape, dims, x.zero)


@rule('im2col')
def im2col(flow: Flow, op: Op) -> Value:
    x = op['self']
    for axis in x.dims[-2:]:
        flow.freeze(axis, 'im2col mixes a spatial dimension')
    axis = x.dims[-3]
    if axis is not None:
        axis = flow.ids.of(np.repeat(flow.ids.elements(axis), op.shape[-2] // x.shape[-3]))
    return Value(op.shape, [*x.dims[:-3], axis, None], [*x.zero[:-2], False])


@rule('col2im')
def col2im(flow: Flow, op: Op) -> Value:
    x = op['self']
    flow.freeze(x.dims[-1], 'col2im mixes a spatial dimension')
    axis = x.dims[-2]
    if axis is not None:
        axis = flow.ids.of(flow.ids.tie_columns(
            flow.ids.elements(axis).reshape(op.shape[-3], -1)))
    return Value(op.shape, [*x.dims[:-2], axis, None, None], [*x.zero[:-1], False, False])


@rule('unfold')
def unfold(flow: Flow, op: Op) -> Value:
    x = op['self']
    k = op['dimension'] % len(x.shape)
    flow.freeze(x.dims[k], 'sliding windows over this dimension')
    dims = list(x.dims)
    dims[k] = None
    return Value(op.shape, [*dims, None], [*x.zero, False])
