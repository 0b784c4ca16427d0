"""Attention whose heads can be removed: stand-ins for modules that take heads for `width / num`."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from razor_ext.attention import merged_mask

from .fixers import Kept, register_fixer
from .stand_ins import StandIn, register_stand_in


@register_stand_in('torch.nn.modules.activation.MultiheadAttention')
class HeadwiseAttention(StandIn):
    """`nn.MultiheadAttention` with a head dimension that does not follow from its other sizes."""

    embed_dim: int
    num_heads: int
    head_dim: int
    kdim: int
    vdim: int
    dropout: float
    batch_first: bool
    in_proj_weight: Tensor | None
    in_proj_bias: Tensor | None
    q_proj_weight: Tensor
    k_proj_weight: Tensor
    v_proj_weight: Tensor
    out_proj: nn.Linear
    _qkv_same_embed_dim: bool

    @classmethod
    def fits(cls, module: nn.Module) -> bool:
        """Whether keys and values have no rows beside those of the input."""
        return module.bias_k is None and module.bias_v is None and not module.add_zero_attn

    def prepare(self) -> None:
        """Keep PyTorch's fused encoder layer away, which derives the head dimension."""
        self._packed, self._qkv_same_embed_dim = self._qkv_same_embed_dim, False
        self.scale = self.head_dim**-0.5

    def leave(self) -> None:
        """Undo `prepare`."""
        self._qkv_same_embed_dim = self._packed
        del self._packed, self.scale

    def heads(self) -> dict[tuple[int, ...], int]:
        """Return the splits of queries, keys and values; see the base class."""
        return {(self.num_heads, self.head_dim): 0}

    def forward(self, query: Tensor, key: Tensor, value: Tensor,
                key_padding_mask: Tensor | None = None, need_weights: bool = True,
                attn_mask: Tensor | None = None, average_attn_weights: bool = True,
                is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
        """See `nn.MultiheadAttention.forward`."""
        if is_causal and attn_mask is None:
            raise RuntimeError('is_causal is a hint about attn_mask, which is not given')
        batched = query.dim() == 3
        swapped = batched and not self.batch_first
        projected = self._project(query, key, value)
        if swapped:
            projected = [x.transpose(0, 1) for x in projected]
        elif not batched:
            projected = [x.unsqueeze(0) for x in projected]
        q, k, v = (x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
                   for x in projected)
        mask = merged_mask(attn_mask, key_padding_mask, q)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights or torch.onnx.is_in_onnx_export():  # the fused operator needs opset 14
            logits = (q * self.scale) @ k.transpose(-2, -1)
            weights = F.dropout((logits if mask is None else logits + mask).softmax(-1), dropout)
            x = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights.squeeze(0)
        else:
            x = F.scaled_dot_product_attention(q, k, v, mask, dropout, scale=self.scale)
        x = self.out_proj(x.transpose(1, 2).flatten(2))
        x = x.transpose(0, 1) if swapped else x
        return (x if batched else x.squeeze(0)), (weights if need_weights else None)

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        if self.in_proj_weight is None:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        elif query is key and key is value:
            packed = F.linear(query, self.in_proj_weight, self.in_proj_bias)
            return list(packed.unflatten(-1, (3, -1)).unbind(-2))
        else:
            weights = list(self.in_proj_weight.unflatten(0, (3, -1)).unbind(0))
        biases: list[Any] = [None] * 3
        if self.in_proj_bias is not None:
            biases = list(self.in_proj_bias.unflatten(0, (3, -1)).unbind(0))
        return [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases)]


@register_fixer(HeadwiseAttention)
def fix_headwise(module: HeadwiseAttention, kept: Kept) -> None:
    """Whole heads are removed, of a single one its channels; inputs follow their weights."""
    if module.num_heads == 1:
        module.head_dim = module.out_proj.in_features
    module.num_heads = module.out_proj.in_features // module.head_dim
    if module.in_proj_weight is not None:
        module.embed_dim = module.kdim = module.vdim = module.in_proj_weight.shape[1]
    else:
        module.embed_dim, module.kdim, module.vdim = (
            w.shape[1] for w in (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight))


class PackedHeads(StandIn):
    """Attention whose queries, keys and values are one projection; its head dimension is noted."""

    num_heads: int
    qkv: nn.Linear

    def prepare(self) -> None:
        """Note the head dimension."""
        self.head_dims = self.qkv.out_features // (3 * self.num_heads)

    def leave(self) -> None:
        """Undo `prepare`."""
        del self.head_dims


@register_stand_in('mmdet.models.backbones.swin.WindowMSA',
                   'mmpose.models.backbones.hrformer.WindowMSA',
                   'mmpose.models.backbones.swin.WindowMSA',
                   'mmpretrain.models.utils.attention.WindowMSA',
                   'mmseg.models.backbones.swin.WindowMSA')
class WindowAttention(PackedHeads):
    """Swin's attention within a window, with a head dimension of its own."""

    embed_dims: int
    scale: float
    proj: nn.Linear
    attn_drop: nn.Module
    proj_drop: nn.Module
    softmax: nn.Module
    relative_position_bias_table: Tensor
    relative_position_index: Tensor

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend within windows.

        Args:
            x: [windows * batch, tokens, channels].
            mask: Added to the logits of each window [windows, tokens, tokens].
        """
        batch, tokens = x.shape[:2]
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.num_heads, self.head_dims).permute(
            2, 0, 3, 1, 4).unbind(0)
        logits = (q * self.scale) @ k.transpose(-2, -1)
        if getattr(self, 'with_rpe', True):
            bias = self.relative_position_bias_table[self.relative_position_index.view(-1)]
            logits = logits + bias.view(tokens, tokens, -1).permute(2, 0, 1).unsqueeze(0)
        if mask is not None:
            windows = mask.shape[0]
            logits = logits.view(batch // windows, windows, self.num_heads, tokens, tokens) \
                + mask.unsqueeze(1).unsqueeze(0)
            logits = logits.view(-1, self.num_heads, tokens, tokens)
        x = self.attn_drop(self.softmax(logits)) @ v
        return self.proj_drop(self.proj(x.transpose(1, 2).reshape(batch, tokens, -1)))


@register_fixer(WindowAttention)
def fix_window_attention(module: WindowAttention, kept: Kept) -> None:
    """Whole heads are removed, of a single one its channels."""
    if module.num_heads == 1:
        module.head_dims = module.qkv.out_features // 3
    module.num_heads = module.qkv.out_features // (3 * module.head_dims)
    module.embed_dims = module.qkv.in_features


@register_fixer('mmpretrain.models.utils.attention.MultiheadAttention')
def fix_mmpretrain_heads(module: Any, kept: Kept) -> None:
    """Whole heads are removed; `embed_dims` is the width of all heads together."""
    qkv = getattr(module.qkv, 'original_layer', module.qkv)  # of LoRA
    module.num_heads = qkv.out_features // (3 * module.head_dims)
    module.embed_dims = module.num_heads * module.head_dims
    module.input_dims = qkv.in_features


@register_fixer('mmpretrain.models.backbones.twins.GlobalSubsampledAttention')
def fix_nothing(module: Any, kept: Kept) -> None:
    """It has projections of its own and takes heads for `width / num`, so that they stay."""


@register_stand_in('mmpretrain.models.utils.attention.BEiTAttention')
class BEiTHeads(PackedHeads):
    """BEiT's attention, whose output has the width of its heads and not of its input."""

    bias: str
    scale: float
    proj: nn.Linear
    q_bias: Tensor
    v_bias: Tensor
    window_size: tuple[int, int]
    attn_drop: nn.Module
    proj_drop: nn.Module
    relative_position_bias_table: Tensor | None
    relative_position_index: Tensor

    def forward(self, x: Tensor, rel_pos_bias: Tensor | None = None) -> Tensor:
        """Attend [batch, tokens, channels], with a bias [heads, tokens, tokens]."""
        bias: Tensor | None = self.qkv.bias
        if self.bias == 'qv_bias':
            bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        q, k, v = F.linear(x, self.qkv.weight, bias).unflatten(
            -1, (3, self.num_heads, self.head_dims)).permute(2, 0, 3, 1, 4).unbind(0)
        logits = (q * self.scale) @ k.transpose(-2, -1)
        if self.relative_position_bias_table is not None:
            tokens = self.window_size[0] * self.window_size[1] + 1
            table = self.relative_position_bias_table[self.relative_position_index.view(-1)]
            logits = logits + table.view(tokens, tokens, -1).permute(2, 0, 1).unsqueeze(0)
        if rel_pos_bias is not None:
            logits = logits + rel_pos_bias
        x = self.attn_drop(logits.softmax(-1)) @ v
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))


@register_fixer(BEiTHeads)
def fix_beit_heads(module: BEiTHeads, kept: Kept) -> None:
    """Whole heads are removed."""
    module.num_heads = module.qkv.out_features // (3 * module.head_dims)


@register_fixer('mmdet.models.backbones.swin.SwinTransformer',
                'mmpose.models.backbones.swin.SwinTransformer',
                'mmpretrain.models.backbones.swin_transformer.SwinTransformer',
                'mmseg.models.backbones.swin.SwinTransformer')
def fix_swin(module: Any, kept: Kept) -> None:
    """The backbone folds its tokens back to maps of `num_features` channels."""
    for i in module.out_indices:
        module.num_features[i] = len(getattr(module, f'norm{i}').weight)
