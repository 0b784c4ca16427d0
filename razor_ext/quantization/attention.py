"""PyTorch's multi-head attention, which fuses its projections and products, step by step."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from razor_ext.attention import merged_mask

from .layers import register_quant_layer
from .products import QuantMatmul, attend


@register_quant_layer(nn.MultiheadAttention)
class QuantMultiheadAttention(QuantMatmul):
    """`nn.MultiheadAttention`: in-projection and both products here, `out_proj` as a linear layer.

    Query, key and value go through one packed weight and share the grid of its input.
    """

    weight_name = 'in_proj_weight'
    operands = ('input', 'query', 'key', 'weights', 'value')
    weight_parts = 3
    since = 2
    in_proj_bias: Tensor | None
    out_proj: nn.Module
    num_heads: int
    dropout: float
    batch_first: bool
    training: bool

    @classmethod
    def refuse(cls, module: nn.Module) -> str | None:
        # Of a module that was sliced, `_packed` says it.
        if not getattr(module, '_packed', module._qkv_same_embed_dim):
            return 'kdim or vdim of its own makes three weights of the packed one'
        if module.bias_k is not None or module.add_zero_attn:
            return 'add_bias_kv and add_zero_attn are not supported'
        return None

    @classmethod
    def called_children(cls, module: Any) -> tuple[nn.Module, ...]:
        return (module.out_proj,)

    def forward(self, query: Tensor, key: Tensor, value: Tensor,
                key_padding_mask: Tensor | None = None, need_weights: bool = True,
                attn_mask: Tensor | None = None, average_attn_weights: bool = True,
                is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
        """Attend; arguments and outputs are those of `nn.MultiheadAttention`."""
        if is_causal and attn_mask is None:
            raise RuntimeError('is_causal=True only says what attn_mask is; give attn_mask')
        batched, same = query.dim() == 3, query is key and key is value
        inputs = [query, key, value]
        if not batched:
            inputs = [x.unsqueeze(0) for x in inputs]
        elif not self.batch_first:
            inputs = [x.transpose(0, 1) for x in inputs]
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
                   for x in (self._project_one(inputs[0]) if same else self._project(inputs)))
        names = iter((('query', 'key'), ('weights', 'value')))
        output, weights = attend(lambda left, right: self.multiply(left, right, next(names)),
                                 q, k, v, merged_mask(attn_mask, key_padding_mask, q),
                                 self.dropout if self.training else 0.0,
                                 scale=getattr(self, 'scale', None))
        output = self.out_proj(output.transpose(1, 2).flatten(2))
        if not batched:
            output, weights = output.squeeze(0), weights.squeeze(0)
        elif not self.batch_first:
            output = output.transpose(0, 1)
        if not need_weights:
            return output, None
        return output, weights.mean(-3) if average_attn_weights else weights

    def _project_one(self, x: Tensor) -> Sequence[Tensor]:
        """Queries, keys and values of one input, by one product."""
        return self._linear(x, self.quantize_weight(), self.in_proj_bias).chunk(3, -1)

    def _project(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        weights = self.quantize_weight().chunk(3)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return [self._linear(*each) for each in zip(inputs, weights, biases)]

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = self.quantize_operand('input', x)
        self.running_sides = ('input', 'weight')
        try:
            return F.linear(x, weight, bias)
        finally:
            self.running_sides = (None, None)
