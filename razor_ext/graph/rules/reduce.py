"""Reductions, scans, soft maxima, pooling and interpolation."""
from __future__ import annotations

from typing import Any

from ..flow import Flow, Op, Origin, Value
from .registry import first, normal, rule


def reduce(flow: Flow, op: Op, dims: Any, keepdim: bool, exact: bool) -> Value:
    """Reduce over `dims`; `exact` reductions ignore channels that are 0, others freeze them."""
    x = first(op)
    rank = len(x.shape)
    chosen = [dims] if isinstance(dims, int) else (dims or range(rank))
    over = {normal(dim, rank) for dim in chosen}
    for i in over:
        if i < rank and not (exact and x.zero[i]):
            flow.freeze(x.dims[i], f'{op.name} over the channels')
    kept = [i for i in range(rank) if keepdim or i not in over]
    origin = x.origin and Origin(
        x.origin.leaf, tuple(None if i in over else x.origin.dims[i] for i in kept))
    return Value([1 if i in over else x.shape[i] for i in kept],
                 [None if i in over else x.dims[i] for i in kept],
                 [i not in over and x.zero[i] for i in kept], origin)


@rule('sum')
def sum_(flow: Flow, op: Op) -> Value:
    return reduce(flow, op, op.get('dim'), op.get('keepdim', False), exact=True)


@rule('mean', 'amax', 'amin')
def mean(flow: Flow, op: Op) -> Value:
    return reduce(flow, op, op.get('dim'), op.get('keepdim', False), exact=False)


@rule('prod', 'all', 'any', 'argmax', 'argmin', 'logsumexp', 'count_nonzero', 'nansum', 'median')
def not_zero_keeping(flow: Flow, op: Op) -> Value | list[Value]:
    result = reduce(flow, op, op.get('dim'), op.get('keepdim', False), exact=False)
    result.zero = [False] * len(result.shape)
    if len(op.shapes) > 1:
        return [result, *(Value(shape, result.dims) for shape in op.tensor_shapes[1:])]
    return result


@rule('var', 'std', 'var_mean', 'std_mean')
def variance(flow: Flow, op: Op) -> list[Value | None]:
    result = reduce(flow, op, op.get('dim'), op.get('keepdim', False), exact=False)
    return [Value(shape, result.dims, result.zero) for shape in op.tensor_shapes]


@rule('max', 'min')
def maximum(flow: Flow, op: Op) -> list[Value | None]:
    result = reduce(flow, op, op.get('dim'), op.get('keepdim', False), exact=False)
    return [result, *(Value(shape, result.dims) for shape in op.tensor_shapes[1:])]


@rule('linalg_vector_norm', 'norm')
def vector_norm(flow: Flow, op: Op) -> Value:
    order = op.get('ord', op.get('p', 2))
    exact = isinstance(order, (int, float)) and order > 0
    return reduce(flow, op, op.get('dim'), op.get('keepdim', False), exact=exact)


@rule('_softmax', '_log_softmax', 'softmax', 'log_softmax', '_safe_softmax')
def softmax(flow: Flow, op: Op) -> Value:
    x = first(op)
    k = normal(op['dim'], len(x.shape))
    flow.freeze(x.dims[k], f'{op.name} over the channels')
    dims = list(x.dims)
    dims[k] = None
    return Value(x.shape, dims)


@rule('cumsum', 'cumprod', 'logcumsumexp')
def scan(flow: Flow, op: Op) -> Value:
    result = softmax(flow, op)
    if op.name == 'cumsum':
        result.zero = list(first(op).zero)
    return result


@rule('topk', 'sort', 'kthvalue', 'cummax', 'cummin')
def order(flow: Flow, op: Op) -> list[Value | None]:
    x = first(op)
    k = normal(op.get('dim', -1), len(x.shape))
    flow.freeze(x.dims[k], f'{op.name} over the channels')
    dims = list(x.dims)
    dims[k] = None
    return [Value(shape, dims if len(shape) == len(dims) else dims[:k] + dims[k + 1:])
            for shape in op.tensor_shapes]


def windows(flow: Flow, op: Op, rank: int) -> list[Value | None]:
    """Mix the last `rank` dimensions, each channel by itself."""
    x = first(op)
    spatial = len(x.shape) - rank
    for axis in x.dims[spatial:]:
        flow.freeze(axis, f'{op.name} mixes this dimension')
    dims = [*x.dims[:spatial], *[None] * rank]
    return [Value(op.shape, dims, [*x.zero[:spatial], *[False] * rank]),
            *(None if shape is None else Value(shape, dims) for shape in op.shapes[1:])]


@rule('avg_pool1d', 'max_pool1d', '_adaptive_avg_pool1d', 'adaptive_avg_pool1d',
      'adaptive_max_pool1d', 'upsample_nearest1d', '_upsample_nearest_exact1d', 'upsample_linear1d',
      'reflection_pad1d', 'replication_pad1d')
def windows_1d(flow: Flow, op: Op) -> list[Value | None]:
    return windows(flow, op, 1)


@rule('max_pool2d_with_indices', 'avg_pool2d', '_adaptive_avg_pool2d', 'adaptive_avg_pool2d',
      'adaptive_max_pool2d', 'upsample_nearest2d', '_upsample_nearest_exact2d',
      'upsample_bilinear2d', '_upsample_bilinear2d_aa', 'upsample_bicubic2d', 'reflection_pad2d',
      'replication_pad2d', 'max_pool2d', 'mkldnn_max_pool2d')
def windows_2d(flow: Flow, op: Op) -> list[Value | None]:
    return windows(flow, op, 2)


@rule('max_pool3d_with_indices', 'avg_pool3d', '_adaptive_avg_pool3d', 'adaptive_avg_pool3d',
      'adaptive_max_pool3d', 'upsample_nearest3d', '_upsample_nearest_exact3d',
      'upsample_trilinear3d', 'reflection_pad3d', 'replication_pad3d', 'max_pool3d')
def windows_3d(flow: Flow, op: Op) -> list[Value | None]:
    return windows(flow, op, 3)


@rule('grid_sampler_2d', 'grid_sampler_3d')
def grid_sampler(flow: Flow, op: Op) -> Value:
    x = op['input']
    for axis in [*x.dims[2:], *op['grid'].dims]:
        flow.freeze(axis, f'{op.name} mixes this dimension')
    spatial = len(op.shape) - 2
    flow.freeze(x.dims[0], f'{op.name} pairs samples with grids')
    return Value(op.shape, [None, x.dims[1], *[None] * spatial],
                 [False, x.zero[1], *[False] * spatial])
