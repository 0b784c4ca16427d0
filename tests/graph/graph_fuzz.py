"""Random networks for the property tests: a program of steps over feature maps [n, c, 6, 6]."""
from __future__ import annotations

from typing import Callable

import torch
import torch.nn.functional as F
from torch import nn

SIDE = 6
RMSNorm = getattr(nn, 'RMSNorm', nn.LayerNorm)  # of torch 2.4
Draw = Callable[[int], int]  # draw(n) -> an integer in range(n)


class HeadAttention(nn.Module):
    """Self-attention over positions; its head count is a Python attribute."""

    def __init__(self, channels: int, heads: int, head_dim: int, fused: bool) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.fused = heads, head_dim, fused
        self.qkv = nn.Linear(channels, 3 * heads * head_dim)
        self.proj = nn.Linear(heads * head_dim, channels)

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).reshape(
            n, h * w, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            out = (q @ k.transpose(-1, -2) * 0.3).softmax(-1) @ v
        out = self.proj(out.transpose(1, 2).flatten(2))
        return out.transpose(1, 2).reshape(n, c, h, w)


class TorchAttention(nn.Module):
    """`nn.MultiheadAttention` over positions, of the map itself or of a pooled one."""

    def __init__(self, channels: int, heads: int, pooled: bool, weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.pooled, self.weights = pooled, weights

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        others = F.avg_pool2d(x, 2).flatten(2).transpose(1, 2) if self.pooled else tokens
        out = self.attention(tokens, others, others, need_weights=self.weights)[0]
        return out.transpose(1, 2).reshape(x.shape)


class Block(nn.Module):
    """A transformer's block: attention and two layers, each around a norm."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module], first: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(Last(norm(channels)) for _ in range(2))
        self.attention = TorchAttention(channels, 2 - channels % 2, False, False)
        self.layers = nn.Sequential(nn.Conv2d(channels, 12, 1), nn.GELU(),
                                    nn.Conv2d(12, channels, 1))
        self.first = first

    def forward(self, x):
        for norm, layer in zip(self.norms, (self.attention, self.layers)):
            x = x + layer(norm(x)) if self.first else norm(x + layer(x))
        return x


class ChannelsFirst(nn.LayerNorm):
    """A layer norm over dimension 1."""

    def forward(self, x):
        x = F.layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.movedim(-1, 1)


class Gate(nn.Module):

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, 4), nn.Linear(4, channels)

    def forward(self, x):
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))[:, :, None, None]


class Last(nn.Module):
    """Apply a layer with channels last."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Flat(nn.Module):

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels * SIDE * SIDE, out)

    def forward(self, x):
        return self.fc(x.flatten(1))[:, :, None, None].expand(-1, -1, SIDE, SIDE)


class Raw(nn.Module):
    """Raw parameters: a matrix per row of the map, a scale and a shift per channel."""

    def __init__(self, channels: int, out: int, einsum: bool) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(SIDE, channels, out) / channels**0.5)
        self.scale = nn.Parameter(torch.ones(out, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, out, 1, 1))
        self.einsum = einsum

    def forward(self, x):
        if self.einsum:
            x = torch.einsum('nchw,hco->nohw', x, self.matrix)
        else:
            x = x.permute(2, 0, 3, 1).flatten(1, 2).matmul(self.matrix)
            x = x.unflatten(1, (-1, SIDE)).permute(1, 3, 0, 2)
        return x * self.scale + self.shift


class FlatNorm(nn.Module):
    """A batch norm over channels times rows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(channels * SIDE)

    def forward(self, x):
        return self.bn(x.flatten(1, 2)).view(x.shape)


def shuffle(x, groups):
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def write_slice(x, y):
    x = x.clone()
    x[:, :y.shape[1]] = y
    return x


def write_old_view(x):
    x = x.clone(memory_format=torch.contiguous_format)
    old = x.view(x.shape[0], x.shape[1], -1)
    x.sigmoid_()
    return old.view(x.shape)


def add_slice(x, y):
    x = x.clone()
    x[:, -y.shape[1]:] += y
    return x


# one input, channels unchanged, no parameters
PLAIN = {
    'silu': F.silu, 'relu': F.relu, 'hardswish': F.hardswish, 'gelu': F.gelu,
    'sigmoid': torch.sigmoid, 'softplus': F.softplus, 'shift': lambda x: x + 0.5,
    'clamp': lambda x: x.clamp(0.1, 3), 'square': lambda x: x.pow(2),
    'log': lambda x: (x.abs() + 1).log(), 'exp': lambda x: x.clamp(max=2).exp(),
    'rsqrt': lambda x: x * (x.pow(2) + 0.1).rsqrt(),
    'l2norm': lambda x: F.normalize(x, dim=1), 'softmax': lambda x: x.softmax(1),
    'softmax_space': lambda x: x.flatten(2).softmax(-1).view(x.shape),
    'cumsum': lambda x: x.cumsum(3), 'cumsum_channels': lambda x: x.cumsum(1),
    'flip_channels': lambda x: x.flip(1), 'roll_channels': lambda x: x.roll(1, 1),
    'roll': lambda x: x.roll(2, 3), 'write_old_view': write_old_view,
    'inplace': lambda x: x.clone().relu_().mul_(2), 'mean_gate': lambda x: x * x.mean(1, True),
    'max_gate': lambda x: x * x.amax(1, keepdim=True), 'sum_gate': lambda x: x + x.sum(1, True),
    'unit_space': lambda x: x / (x.norm(dim=(2, 3), keepdim=True) + 1),
    'pool': lambda x: F.avg_pool2d(F.max_pool2d(x, 3, 1, 1), 3, 1, 1),
    'resize': lambda x: F.avg_pool2d(F.interpolate(x, scale_factor=2), 2),
    'pad_space': lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1),
    'shuffle': lambda x: shuffle(x, 2), 'where': lambda x: torch.where(x > 0, x, -0.1 * x),
    'masked': lambda x: x.masked_fill(x < 0, 0.0),
    'stack': lambda x: torch.stack([x, x * 2]).sum(0),
    'unfold': lambda x: F.fold(F.unfold(x, 3, padding=1), (SIDE, SIDE), 3, padding=1),
    'bmm': lambda x: (x.flatten(2) @ x.flatten(2).transpose(1, 2) @ x.flatten(2)).view(x.shape) / 9,
    'height_cat': lambda x: F.max_pool2d(torch.cat([x, x * 2], 2), (2, 1)),
    'transpose_space': lambda x: x.transpose(2, 3).contiguous(),
    'split_space': lambda x: torch.cat([s * (i + 1) for i, s in enumerate(x.split(2, 2))], 2)}

# one input, channel count changes as given
RESIZING = {
    'chunk': (lambda x: x.chunk(2, 1)[0], lambda c: c // 2),
    'chunk_gate': (lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1], lambda c: c // 2),
    'glu': (lambda x: F.glu(x, 1), lambda c: c // 2),
    'slice': (lambda x: x[:, 1:-2], lambda c: c - 3),
    'strided': (lambda x: x[:, ::2], lambda c: c // 2),
    'split': (lambda x: x.split(3, 1)[0], lambda c: 3),
    'repeat': (lambda x: x.repeat(1, 2, 1, 1), lambda c: 2 * c),
    'repeat_interleave': (lambda x: x.repeat_interleave(2, 1), lambda c: 2 * c),
    'pick': (lambda x: x[:, [3, 1, 2]], lambda c: 3),
    'index_select': (lambda x: x.index_select(1, torch.tensor([0, 2], device=x.device)),
                     lambda c: 2),
    'pad_channels': (lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)), lambda c: c + 3),
    'fold_space': (lambda x: F.interpolate(F.pixel_unshuffle(x, 2), scale_factor=2),
                   lambda c: 4 * c),
    'pixel_shuffle': (lambda x: F.avg_pool2d(F.pixel_shuffle(x, 2), 2), lambda c: c // 4),
    'select': (lambda x: x[:, 2:3].expand(-1, 4, -1, -1), lambda c: 4),
    'outer': (lambda x: (x.mean(3).unsqueeze(1) * x.mean(3).unsqueeze(2)).flatten(1, 2)[..., None]
              .expand(-1, -1, -1, SIDE), lambda c: c * c)}

MODULES = {
    'conv': lambda c, o, d: nn.Conv2d(c, o, 1 + 2 * d(2), padding='same', bias=bool(d(2))),
    'conv_again': lambda c, o, d: nn.Conv2d(c, o, 3, padding=1),
    'conv_t': lambda c, o, d: nn.Sequential(nn.ConvTranspose2d(c, o, 2, 2), nn.AvgPool2d(2)),
    'linear': lambda c, o, d: Last(nn.Linear(c, o)),
    'flat': lambda c, o, d: Flat(c, o),
    'raw': lambda c, o, d: Raw(c, o, bool(d(2)))}

KEEPING = {
    'bn': lambda c, d: nn.BatchNorm2d(c),
    'bn_plain': lambda c, d: nn.BatchNorm2d(c, affine=False),
    'instance': lambda c, d: nn.InstanceNorm2d(c, affine=bool(d(2))),
    'group': lambda c, d: nn.GroupNorm(_divisor(c, d, (1, 2, 4, c)), c),
    'layer': lambda c, d: Last(nn.LayerNorm(c, elementwise_affine=bool(d(3)))),
    'layer_first': lambda c, d: ChannelsFirst(c),
    'rms': lambda c, d: Last(RMSNorm(c, elementwise_affine=bool(d(3)))),
    'layer_rows': lambda c, d: Last(nn.LayerNorm((SIDE, c))),
    'torch_attention': lambda c, d: TorchAttention(c, _divisor(c, d, (1, 2, 4)), bool(d(2)),
                                                   bool(d(2))),
    'block': lambda c, d: Block(c, (nn.LayerNorm, RMSNorm)[d(2)], bool(d(2))),
    'prelu': lambda c, d: nn.PReLU(c if d(2) else 1),
    'gate': lambda c, d: Gate(c),
    'flat_norm': lambda c, d: FlatNorm(c),
    'attention': lambda c, d: HeadAttention(c, 2 + d(2), 4, bool(d(2))),
    'scale': lambda c, d: Last(nn.BatchNorm2d(SIDE))}

#: Steps of transformers, and the shuffles of channels beside them.
NORMED = ['layer', 'layer_first', 'rms', 'torch_attention', 'block', 'block', 'shuffle']
STEPS = [*PLAIN, *RESIZING, *3 * [*MODULES], *KEEPING, *2 * NORMED, *12 * ['conv'], *4 * ['bn'],
         *5 * ['add'], *3 * ['cat'], 'mul', 'depthwise', 'depthwise', 'grouped', 'grouped_t',
         'shared', 'shared', 'write_slice', 'add_slice', 'matmul_pair', 'tied']


def _divisor(channels: int, draw: Draw, options) -> int:
    fitting = [option for option in options if channels % option == 0]
    return fitting[draw(len(fitting))]


class FuzzNet(nn.Module):
    """A random program.

    Args:
        draw: Source of integers.
        length: Number of steps.
    """

    def __init__(self, draw: Draw, length: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(4, 8 + 4 * draw(5), 3, padding=1)])
        self.steps: list[tuple] = [('module', (0, ), 0)]
        channels = [4, self.layers[0].out_channels]
        for _ in range(length):
            self._grow(draw, channels)
        used = {i for _, inputs, _ in self.steps for i in inputs}
        self.outs = [i for i in range(1, len(channels)) if i not in used]
        self.heads = nn.ModuleList(nn.Linear(channels[i], 3) for i in self.outs)

    def _grow(self, draw: Draw, channels: list[int]) -> None:
        kind = STEPS[draw(len(STEPS))]
        a = len(channels) - 1 if draw(3) else 1 + draw(len(channels) - 1)
        c, o = channels[a], 8 + 4 * draw(5)
        same = [i for i in range(1, len(channels)) if channels[i] == c]
        layer, inputs, name = None, (a, ), 'module'
        if kind in PLAIN:
            if kind == 'shuffle' and c % 2:
                return
            name, o = kind, c
        elif kind in RESIZING:
            name, o = kind, RESIZING[kind][1](c)
            if c < 8 or o < 2 or (kind in ('chunk', 'glu', 'chunk_gate', 'strided') and c % 2) \
                    or (kind == 'pixel_shuffle' and c % 4):
                return
        elif kind in MODULES:
            layer = MODULES[kind](c, o, draw)
        elif kind in KEEPING:
            layer, o = KEEPING[kind](c, draw), c
        elif kind == 'depthwise':
            o = c * (1 + draw(2))
            layer = nn.Conv2d(c, o, 3, padding=1, groups=c)
        elif kind == 'grouped':
            layer = nn.Conv2d(c, o, 3, padding=1, groups=_divisor(c, draw, (1, 2, 4))
                              if c % 4 == 0 else 1)
        elif kind == 'grouped_t':
            layer = nn.ConvTranspose2d(c, o, 3, padding=1, groups=2 if c % 2 == 0 else 1)
        elif kind == 'shared':
            known = [i for i, m in enumerate(self.layers)
                     if isinstance(m, nn.Conv2d) and m.in_channels == c]
            if not known:
                return
            number = known[draw(len(known))]
            self.steps.append(('module', inputs, number))
            channels.append(self.layers[number].out_channels)
            return
        elif kind == 'tied':
            known = [m for m in self.layers if isinstance(m, nn.Conv2d) and m.groups == 1
                     and m.in_channels == c and m.kernel_size == (3, 3)]
            if not known:
                return
            layer = nn.Conv2d(c, known[0].out_channels, 3, padding=1)
            layer.weight = known[0].weight
            o = layer.out_channels
        elif kind in ('add', 'mul'):
            name, inputs, o = kind, (a, same[draw(len(same))]), c
        elif kind == 'cat':
            b = 1 + draw(len(channels) - 1)
            name, inputs, o = kind, (a, b), c + channels[b]
        elif kind in ('write_slice', 'add_slice'):
            smaller = [i for i in range(1, len(channels)) if channels[i] < c]
            if not smaller:
                return
            name, inputs, o = kind, (a, smaller[draw(len(smaller))]), c
        elif kind == 'matmul_pair':
            name, inputs, o = kind, (a, same[draw(len(same))]), c
        if o > 96:
            return
        number = None
        if layer is not None:
            self.layers.append(layer)
            number = len(self.layers) - 1
        self.steps.append((name, inputs, number))
        channels.append(o)

    def forward(self, x):
        values = [x]
        for name, inputs, number in self.steps:
            a = values[inputs[0]]
            b = values[inputs[-1]]
            if name == 'module':
                y = self.layers[number](a)
            elif name in PLAIN:
                y = PLAIN[name](a)
            elif name in RESIZING:
                y = RESIZING[name][0](a)
            elif name == 'add':
                y = a + b
            elif name == 'mul':
                y = a * b
            elif name == 'cat':
                y = torch.cat([a, b], 1)
            elif name == 'write_slice':
                y = write_slice(a, b)
            elif name == 'add_slice':
                y = add_slice(a, b)
            else:
                y = (a.flatten(2).transpose(1, 2) @ b.flatten(2) / 9) @ a.flatten(2).transpose(1, 2)
                y = y.transpose(1, 2).view(a.shape)
            values.append(y)
        return [head(values[i].mean((2, 3))) for head, i in zip(self.heads, self.outs)]
