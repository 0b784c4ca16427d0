"""Small models whose attention multiplies activations in each of the known ways."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Explicit(nn.Module):
    """Attention by matmul and @, as timm, MMPose and MMPretrain write it."""

    def __init__(self, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.drop = nn.Dropout(0.)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        weights = self.drop((q * self.scale @ k.transpose(-2, -1)).softmax(-1))
        return self.proj(torch.matmul(weights, v).transpose(1, 2).flatten(2))


class Fused(Explicit):
    """Attention by PyTorch's function, causal."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(x.transpose(1, 2).flatten(2))


class Packed(nn.Module):
    """PyTorch's module, on one input or on two."""

    def __init__(self, width: int = 16, heads: int = 4, cross: bool = False,
                 batch_first: bool = True) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=batch_first)
        self.cross = cross

    def forward(self, x: Tensor) -> Tensor:
        other = x.flip(1) * 0.7 if self.cross else x
        return self.attn(x, other, other)[0]


def separate(width: int = 16) -> Packed:
    """Attention whose three inputs are three tensors."""
    class Separate(Packed):
        def forward(self, x: Tensor) -> Tensor:
            return self.attn(x, x + 0.1, x.flip(1))[0]
    return Separate(width)


class Block(nn.Module):
    """A transformer block around an attention."""

    def __init__(self, attn: nn.Module, width: int = 16) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(width), attn, nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(),
                                 nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


#: How a module attends, by name.
ATTENTIONS = {
    'explicit': Explicit, 'fused': Fused, 'packed': Packed,
    'packed, time first': lambda: Packed(batch_first=False),
    'packed, two inputs': lambda: Packed(cross=True), 'packed, three inputs': separate}


def transformer(attention: str, depth: int = 2) -> nn.Module:
    """Blocks with an attention of `ATTENTIONS`."""
    return nn.Sequential(*(Block(ATTENTIONS[attention]()) for _ in range(depth)))


class GPT(nn.Module):
    """A language model: a table of tokens, causal blocks, the same table as the head."""

    def __init__(self, words: int = 50, width: int = 16, depth: int = 2, length: int = 12,
                 heads: int = 4) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(Fused(width, heads), width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, words: Tensor) -> Tensor:
        places = torch.arange(words.shape[1], device=words.device)
        return self.head(self.norm(self.blocks(self.tokens(words) + self.places(places))))
