"""Convolutions of any rank: plain, grouped, depthwise and transposed."""
from __future__ import annotations

import math

import numpy as np

from ..flow import Flow, Op, Value
from .registry import rule


def keeps_whole_groups(groups: int, inputs_per_group: int) -> bool:
    """Whether pruning a grouped convolution removes whole groups (`groups` shrinks) rather than
    the same positions in every group."""
    return inputs_per_group == 1 or groups >= inputs_per_group


@rule('convolution', '_convolution')
def convolution(flow: Flow, op: Op) -> Value:
    x, weight, bias = op['input'], op['weight'], op.get('bias')
    groups, transposed = op['groups'], op['transposed']
    for axis in x.dims[2:]:
        flow.freeze(axis, 'convolution mixes a spatial dimension')
    for axis in weight.dims[2:]:
        flow.freeze(axis, 'kernel dimension')
    if groups == 1:
        inputs, outputs = (0, 1) if transposed else (1, 0)
        flow.contract(x, 1, weight, inputs)
        out, zero = weight.dims[outputs], weight.zero[outputs]
        per_output = (weight.shape[inputs], weight.dims[inputs])
        producer = outputs
    else:
        out, zero, per_output, producer = _grouped(flow, x, weight, groups, transposed, op.shape[1])
    if bias is not None:
        out = flow.meet(out, bias.dims[0])
        zero = zero and bias.zero[0]
    positions = x.shape[2:] if transposed else op.shape[2:]
    flow.count([(op.shape[0], x.dims[0]), (op.shape[1], out), per_output,
                (math.prod(positions) * math.prod(weight.shape[2:]), None)],
               weight.leaf_dim(producer))
    dims = [x.dims[0], out] + [None] * (len(op.shape) - 2)
    return Value(op.shape, dims, [bias is None and x.zero[0], zero] + [False] * (len(dims) - 2))


def _grouped(flow: Flow, x: Value, weight: Value, groups: int, transposed: bool, channels: int):
    """Output axis, its zero flag, inputs per output, and the weight dimension of the outputs."""
    ids = flow.ids
    per_group_in, per_group_out = x.shape[1] // groups, channels // groups
    source = x.dims[1]
    if transposed or keeps_whole_groups(groups, per_group_in):
        flow.freeze(weight.dims[1], 'channels within a group of a grouped convolution')
        rows = weight.dims[0]
        if source is None or rows is None:
            flow.meet(None, source)
            flow.meet(None, rows)
            return None, False, (per_group_in, None), 0
        by_group = ids.tie_columns(ids.elements(source).reshape(groups, per_group_in))
        width = weight.shape[0] // groups
        by_row = ids.tie_columns(ids.elements(rows).reshape(groups, width))
        ids.union_elements(by_group, by_row)
        if transposed:
            return (ids.of(np.repeat(by_group, per_group_out)), weight.zero[0],
                    (per_group_in, None), 0)
        return rows, weight.zero[0], (per_group_in, None), 0
    if source is None:
        flow.meet(None, weight.dims[1])
    else:
        for group in range(groups):
            piece = Value((x.shape[0], per_group_in),
                          [None, flow.part(source, group * per_group_in,
                                           (group + 1) * per_group_in)], [False, x.zero[1]])
            flow.contract(piece, 1, weight, 1)
    rows = weight.dims[0]
    if rows is not None:
        ids.tie_columns(ids.elements(rows).reshape(groups, per_group_out).T)
    return rows, weight.zero[0], (per_group_in, weight.dims[1]), 0
