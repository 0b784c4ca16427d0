"""Sizes that the attention of Hugging Face's transformers holds, corrected once heads are removed.

Llama and what is written like it take the number of heads from the width of their projections, and
need none of this.
"""
from __future__ import annotations

from typing import Any

from .fixers import Kept, part_sizes, register_fixer

_MODELS = 'transformers.models'


@register_fixer(*(f'{_MODELS}.{package}.modeling_{package}.{name}SelfAttention'
                  for package, name in (('bert', 'Bert'), ('roberta', 'Roberta'),
                                        ('electra', 'Electra'), ('vit', 'ViT'),
                                        ('deit', 'DeiT'), ('dinov2', 'Dinov2'))))
def fix_self_attention(module: Any, kept: Kept) -> None:
    """BERT's: whole heads are removed; `all_head_size` is the width of all of them."""
    module.all_head_size = module.query.out_features
    module.num_attention_heads = module.all_head_size // module.attention_head_size


@register_fixer(f'{_MODELS}.distilbert.modeling_distilbert.MultiHeadSelfAttention')
def fix_distilled_attention(module: Any, kept: Kept) -> None:
    """DistilBERT's: the width of a head is `dim // n_heads`."""
    width = module.dim // module.n_heads
    module.dim = module.q_lin.out_features
    module.n_heads = module.dim // width


@register_fixer('transformers.pytorch_utils.Conv1D')
def fix_transposed_linear(module: Any, kept: Kept) -> None:
    """GPT-2's linear layer, whose weight is [inputs, outputs]."""
    module.nx, module.nf = module.weight.shape


@register_fixer(f'{_MODELS}.gpt2.modeling_gpt2.GPT2Attention')
def fix_packed_attention(module: Any, kept: Kept) -> None:
    """GPT-2's: queries, keys and values are split by `split_size`, heads by `head_dim`."""
    before = kept.full_size('c_attn.weight', 1) // 3
    sizes = part_sizes(kept.positions('c_attn.weight', 1), [before] * 3)
    module.split_size = module.embed_dim = sizes[0]
    module.num_heads = sizes[0] // module.head_dim
