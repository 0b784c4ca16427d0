"""Attention and norms as Hugging Face's transformers have them, written from what they compute.

With transformers installed, its own models were analysed too: docs/plain_pytorch.md.
"""
from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from razor_ext.graph import analyze, slice_model
from razor_ext.graph.norms import mask_aware, mask_norms

from .graph_nets import random_keep

TOKENS = torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(0))


def of(path: str):
    """Give a class the name of one of transformers', by which it is known."""

    def rename(cls: type) -> type:
        cls.__module__, _, cls.__qualname__ = path.rpartition('.')
        return cls

    return rename


@of('transformers.models.bert.modeling_bert.BertSelfAttention')
class BertLike(nn.Module):

    def __init__(self) -> None:
        super().__init__()
        self.num_attention_heads, self.attention_head_size, self.all_head_size = 4, 4, 16
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:2], self.num_attention_heads, self.attention_head_size)
        q, k, v = (f(x).view(shape).transpose(1, 2) for f in (self.query, self.key, self.value))
        x = ((q @ k.transpose(-1, -2)) * self.attention_head_size ** -.5).softmax(-1) @ v
        return x.transpose(1, 2).reshape(*x.transpose(1, 2).shape[:2], self.all_head_size)


@of('transformers.models.distilbert.modeling_distilbert.MultiHeadSelfAttention')
class DistilLike(nn.Module):

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.n_heads = 16, 4
        self.q_lin, self.k_lin, self.v_lin = (nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        width = self.dim // self.n_heads
        q, k, v = (f(x).view(1, -1, self.n_heads, width).transpose(1, 2)
                   for f in (self.q_lin, self.k_lin, self.v_lin))
        x = ((q * width ** -.5) @ k.transpose(-1, -2)).softmax(-1) @ v
        return x.transpose(1, 2).contiguous().view(1, -1, self.n_heads * width)


@of('transformers.pytorch_utils.Conv1D')
class TransposedLinear(nn.Module):

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight, self.bias = nn.Parameter(torch.randn(nx, nf)), nn.Parameter(torch.zeros(nf))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight).view(
            *x.shape[:-1], self.nf)


@of('transformers.models.gpt2.modeling_gpt2.GPT2Attention')
class GPTLike(nn.Module):

    def __init__(self) -> None:
        super().__init__()
        self.embed_dim = self.split_size = 16
        self.num_heads, self.head_dim = 4, 4
        self.c_attn, self.c_proj = TransposedLinear(48, 16), TransposedLinear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.view(*t.shape[:-1], -1, self.head_dim).transpose(1, 2)
                   for t in self.c_attn(x).split(self.split_size, dim=2))
        x = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        return self.c_proj(x.transpose(1, 2).reshape(1, -1, self.split_size))


@of('transformers.models.llama.modeling_llama.LlamaRMSNorm')
class LlamaNorm(nn.Module):

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.rand(16)), 1e-6

    def forward(self, x: Tensor) -> Tensor:
        kind, x = x.dtype, x.to(torch.float32)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * x.to(kind)


class Block(nn.Module):
    """A residual stream around attention, and a head."""

    def __init__(self, attention: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.stem, self.attention, self.norm = nn.Linear(16, 16), attention, norm
        self.out, self.head = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.out(self.attention(self.norm(x))))


@pytest.mark.parametrize('attention', [BertLike, DistilLike, GPTLike])
@pytest.mark.parametrize('norm', [LlamaNorm, lambda: nn.LayerNorm(16)])
def test_heads_and_the_stream_are_pruned(attention, norm) -> None:
    model = Block(attention(), norm()).eval()
    graph = analyze(model, TOKENS)
    assert graph.reachable_share > 0.98 and not graph.refused
    small = slice_model(model, graph, random_keep(graph.units, 0.5, 1, uneven=True))
    again = analyze(small, TOKENS)
    assert again.units and again.prove(0.5) < 1e-12


def test_a_norm_that_is_written_out_is_mask_aware() -> None:
    model = mask_norms(Block(BertLike(), LlamaNorm()).eval())
    norm, = mask_aware(model)
    plain = LlamaNorm()
    plain.load_state_dict({'weight': norm.weight.detach()})
    torch.testing.assert_close(norm(TOKENS), plain(TOKENS))
    norm.kept_channels[8:] = 0
    half = LlamaNorm()
    half.weight = nn.Parameter(norm.weight.detach()[:8])
    torch.testing.assert_close(norm(TOKENS)[..., :8], half(TOKENS[..., :8]))
    assert not norm(TOKENS)[..., 8:].any()


class Caster(nn.Module):
    """Makes constants of a type of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        place = torch.arange(8, dtype=torch.float32).sin().sum() + torch.zeros(1, 1, 1)
        return self.last((self.first(x).float() + place).to(torch.float32))


def test_a_proof_is_in_float64_whatever_a_model_casts() -> None:
    before = torch.get_default_dtype()
    graph = analyze(Caster(), TOKENS)
    assert len(graph.units) == 1 and graph.evidence.error < 1e-14
    assert torch.get_default_dtype() is before
