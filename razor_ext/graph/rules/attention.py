"""Fused attention kernels: heads are free, tokens and head dimensions are not.

The default scale is made of the head dimension, so removing a part of a head would change it.
"""
from __future__ import annotations

from ..flow import Flow, Op, Value
from .registry import rule


@rule('scaled_dot_product_attention', '_scaled_dot_product_flash_attention',
      '_scaled_dot_product_flash_attention_for_cpu', '_scaled_dot_product_efficient_attention',
      '_scaled_dot_product_cudnn_attention', '_scaled_dot_product_attention_math',
      '_scaled_dot_product_fused_attention_overrideable')
def attention(flow: Flow, op: Op) -> list[Value | None]:
    query, key, value = op['query'], op['key'], op['value']
    heads = flow.meet(flow.meet(query.dims[-3], key.dims[-3]), value.dims[-3])
    for tensor in (query, key, value):
        for axis in [*tensor.dims[:-3], *tensor.dims[-2:]]:
            flow.freeze(axis, 'batch, token or head dimension of fused attention')
    bias = op.get('attn_mask', op.get('attn_bias'))
    if isinstance(bias, Value):
        for i, axis in enumerate(bias.dims):
            if i == len(bias.shape) - 3 and bias.shape[i] == query.shape[-3]:
                heads = flow.meet(heads, axis)
            else:
                flow.freeze(axis, 'token dimension of fused attention')
    rank = len(query.shape)
    tokens, width = query.shape[-2], query.shape[-1] + value.shape[-1]
    flow.count([*((size, None) for size in query.shape[:-3]), (query.shape[-3], heads),
                (tokens * key.shape[-2] * width, None)])
    dims = [None] * (rank - 3) + [heads, None, None]
    zero = [False] * (rank - 3) + [value.zero[-3], False, False]
    return [Value(op.shape, dims, zero),
            *(None if shape is None else Value(shape) for shape in op.shapes[1:])]
