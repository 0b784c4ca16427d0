"""Normalisations.

Batch, instance and group norms keep statistics per channel or group and are exact. Layer and RMS
norms take them over the channels themselves: what they normalise is frozen.
"""
from __future__ import annotations

from ..flow import Flow, Op, Value, geometry
from .registry import rule


@rule('native_batch_norm', 'cudnn_batch_norm', 'miopen_batch_norm', '_native_batch_norm_legit',
      '_native_batch_norm_legit_no_training', '_batch_norm_impl_index', 'batch_norm',
      '_batch_norm_no_update', '_batch_norm_with_update', '_native_batch_norm_legit_functional')
def batch_norm(flow: Flow, op: Op) -> list[Value | None]:
    x = op['input']
    axis = x.dims[1]
    affine = op.get('weight') is not None
    for key in ('weight', 'bias', 'running_mean', 'running_var'):
        if op.get(key) is not None:
            axis = flow.meet(axis, op[key].dims[0])
    running = op.get('running_mean') is not None
    if op.get('training') or not running:
        for i, other in enumerate(x.dims):
            if i != 1:
                flow.freeze(other, 'batch statistics over this dimension')
    dims = list(x.dims)
    dims[1] = axis
    zero = [False] * len(dims)
    zero[1] = affine or x.zero[1]  # gamma and beta, or the running mean, are 0 with the channel
    outputs: list[Value | None] = [Value(x.shape, dims, zero)]
    for shape in op.shapes[1:]:
        if shape is None:
            outputs.append(None)
        else:
            outputs.append(Value(shape, [axis] if shape == (x.shape[1], ) else None))
    return outputs


@rule('native_layer_norm', 'layer_norm', '_fused_rms_norm', 'rms_norm')
def layer_norm(flow: Flow, op: Op) -> list[Value | None]:
    x = op['input']
    count = len(op['normalized_shape'])
    for axis in x.dims[-count:]:
        flow.freeze(axis, f'{op.name} takes statistics over the channels')
    for key in ('weight', 'bias'):
        if op.get(key) is not None:
            for axis in op[key].dims:
                flow.freeze(axis, f'{op.name} takes statistics over the channels')
    dims = [*x.dims[:-count], *[None] * count]
    return [Value(x.shape, dims)] + [None if shape is None else Value(shape, [
        dims[i] if shape[i] == x.shape[i] else None for i in range(len(shape))])
        for shape in op.shapes[1:]]


@rule('native_group_norm', 'group_norm')
def group_norm(flow: Flow, op: Op) -> list[Value | None]:
    x = op['input']
    groups = op['group'] if 'group' in op.inputs else op['num_groups']
    axis, channels = x.dims[1], x.shape[1]
    affine = op.get('weight') is not None and op.get('bias') is not None
    for other in x.dims[2:]:
        flow.freeze(other, 'group_norm takes statistics over this dimension')
    for key in ('weight', 'bias'):
        if op.get(key) is not None:
            axis = flow.meet(axis, op[key].dims[0])
    if axis is not None and groups < channels:
        if groups == 1:
            flow.freeze(axis, 'group_norm with one group takes statistics over the channels')
        else:
            flow.ids.tie_columns(flow.ids.elements(axis).reshape(groups, -1))
    zero = [False, affine or x.zero[1]] + [False] * (len(x.shape) - 2)
    return [Value(x.shape, [x.dims[0], axis] + [None] * (len(x.shape) - 2), zero),
            *geometry(op.shapes[1:])]


@rule('_weight_norm_interface')
def weight_norm(flow: Flow, op: Op) -> list[Value | None]:
    v, g, k = op['v'], op['g'], op['dim']
    flow.freeze(v.dims[k], 'weight_norm of a removed channel is 0/0')
    flow.freeze(g.dims[k], 'weight_norm of a removed channel is 0/0')
    dims = list(v.dims)
    dims[k] = None
    return [Value(v.shape, dims, v.zero, v.origin), *geometry(op.shapes[1:])]
