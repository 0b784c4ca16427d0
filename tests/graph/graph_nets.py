"""Small networks for the graph tests, one construct each where possible."""
from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from razor_ext.graph.choices import choose


def conv_bn(cin: int, cout: int, kernel: int = 3, stride: int = 1, groups: int = 1,
            act: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
              nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if act else nn.Sequential(*layers)


class Bottleneck(nn.Module):

    def __init__(self, cin: int, width: int, cout: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.conv1 = conv_bn(cin, width, 1)
        self.conv2 = conv_bn(width, width, 3, stride, groups)
        self.conv3 = conv_bn(width, cout, 1, act=False)
        self.downsample = (conv_bn(cin, cout, 1, stride, act=False)
                           if stride != 1 or cin != cout else nn.Identity())

    def forward(self, x):
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + self.downsample(x), inplace=True)


class ResNet(nn.Module):
    """Bottleneck ResNet; (3, 4, 6, 3) is ResNet-50."""

    def __init__(self, depth=(3, 4, 6, 3), width: int = 64, groups: int = 1) -> None:
        super().__init__()
        self.stem = conv_bn(3, width, 7, 2)
        blocks, channels = [], width
        for stage, count in enumerate(depth):
            for i in range(count):
                out = 4 * width * 2**stage
                blocks.append(Bottleneck(channels, width * 2**stage, out,
                                         2 if i == 0 and stage else 1, groups))
                channels = out
        self.body = nn.Sequential(*blocks)
        self.fc = nn.Linear(channels, 10)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        return self.fc(F.adaptive_avg_pool2d(self.body(x), 1).flatten(1))


class PartLinear(nn.Module):
    """A raw matrix per part: [n, i, p] -> [n, o, p]."""

    def __init__(self, parts: int, cin: int, cout: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(parts, cin, cout) / cin**0.5)

    def forward(self, x):
        return x.permute(2, 0, 1).matmul(self.matrix).permute(1, 2, 0)


class StripConv(nn.Module):
    """A convolution of the whole beside one shared by strips, added or joined along height."""

    def __init__(self, cin: int, cout: int, strips: int, join: bool) -> None:
        super().__init__()
        self.whole = nn.Conv3d(cin, cout, 3, padding=1, bias=False)
        self.strip = nn.Conv3d(cin, cout, 3, padding=1, bias=False)
        self.strips, self.join = strips, join

    def forward(self, x):
        local = torch.cat([self.strip(s) for s in x.split(x.shape[3] // self.strips, 3)], 3)
        if self.join:
            return F.leaky_relu(torch.cat([self.whole(x), local], 3))
        return F.leaky_relu(self.whole(x)) + F.leaky_relu(local)


class ClipNet(nn.Module):
    """Clips [n, 1, s, h, w], 3-D convolutions, GeM pooling, matrices per part."""

    def __init__(self, widths=(8, 12, 16), classes: int = 7) -> None:
        super().__init__()
        a, b, c = widths
        self.stem = nn.Conv3d(1, a, 3, padding=1, bias=False)
        self.shrink = nn.Conv3d(a, a, (3, 1, 1), (3, 1, 1), bias=False)
        self.a0 = StripConv(a, b, 4, False)
        self.a1 = StripConv(b, c, 4, False)
        self.b2 = StripConv(c, c, 4, True)
        self.p = nn.Parameter(torch.ones(1) * 6.5)
        self.head0 = PartLinear(16, c, c)
        self.bn = nn.BatchNorm1d(c)
        self.head1 = PartLinear(16, c, classes)

    def forward(self, x):
        x = F.leaky_relu(self.shrink(F.leaky_relu(self.stem(x))))
        x = F.max_pool3d(self.a0(x), (1, 2, 2), (1, 2, 2))
        x = self.b2(self.a1(x)).max(2)[0]
        x = F.avg_pool2d(x.clamp(min=1e-6).pow(self.p), (1, x.shape[-1])).pow(1. / self.p)
        return self.head1(self.bn(self.head0(x.squeeze(-1))))


class FrameNet(nn.Module):
    """Frames folded into the batch, max over time, batch norm over channels times parts."""

    def __init__(self, widths=(8, 16), embedding: int = 12, classes: int = 7, parts: int = 4,
                 with_embedding: bool = False) -> None:
        super().__init__()
        a, b = widths
        self.stem = conv_bn(1, a)
        self.body = nn.Sequential(Bottleneck(a, a, a, 1), Bottleneck(a, b, b, 2))
        self.parts, self.with_embedding = parts, with_embedding
        self.fc = PartLinear(parts, b, embedding)
        self.bn = nn.BatchNorm1d(embedding * parts)
        self.neck = PartLinear(parts, embedding, classes)

    def forward(self, x):
        n, c, s, h, w = x.shape
        x = self.body(self.stem(x.transpose(1, 2).reshape(n * s, c, h, w)))
        x = x.reshape(n, s, *x.shape[1:]).transpose(1, 2).max(2)[0]
        x = x.view(n, x.shape[1], self.parts, -1)
        embedding = self.fc(x.mean(-1) + x.max(-1)[0])
        x = F.normalize(self.bn(embedding.reshape(n, -1)).view(embedding.shape), dim=1)
        weight = F.normalize(self.neck.matrix, dim=1)
        logits = x.permute(2, 0, 1).matmul(weight).permute(1, 2, 0)
        return (embedding, logits) if self.with_embedding else logits


def mmpose_config(relative: str):
    """Load one of mmpose's own configs, without its checkpoints."""
    import mmpose
    from mmengine.config import Config
    root = Path(mmpose.__file__).parent / '.mim' / 'configs' / 'body_2d_keypoint'
    cfg = Config.fromfile(str(root / relative))
    cfg.model.backbone.pop('init_cfg', None)
    return cfg


def mmpose_model(relative: str) -> nn.Module:
    """Build a pose estimator from one of mmpose's own configs."""
    import mmpose.models  # noqa: F401
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS
    init_default_scope('mmpose')
    return MODELS.build(copy.deepcopy(mmpose_config(relative).model)).eval()


def rtmpose(size: str = 's', data: str = 'coco') -> nn.Module:
    """RTMPose of mmpose's configs; `data` is 'coco' or 'halpe26'."""
    if data == 'coco':
        return mmpose_model(f'rtmpose/coco/rtmpose-{size}_8xb256-420e_coco-256x192.py')
    batch = {'t': '8xb1024', 's': '8xb1024', 'm': '8xb512'}[size]
    return mmpose_model(f'rtmpose/body8/rtmpose-{size}_{batch}-700e_body8-halpe26-256x192.py')


def random_keep(units, ratio: float, seed: int, uneven: bool = False) -> dict[str, torch.Tensor]:
    """Choose channels at random; uneven shares lie between half and one and a half of the ratio."""
    generator = torch.Generator().manual_seed(seed)
    shares = [ratio * (0.5 + torch.rand((), generator=generator).item() if uneven else 1)
              for _ in units]
    return choose(units, shares, seed)
