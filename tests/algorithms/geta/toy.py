"""Small networks, quantizers and runs shared by the optimizer's tests."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from razor_ext.algorithms.geta import (
    HESSO,
    QASSO,
    BitRange,
    ChannelIndex,
    SparsityTarget,
    StagePlan,
)

from .cifar_nets import HandUnit, unit


class Net(nn.Module):
    """Names that are prefixes of one another, and a shared (residual) unit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 12, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(12)
        self.conv10 = nn.Conv2d(12, 16, 3, padding=1)
        self.bn10 = nn.BatchNorm2d(16)
        self.conv100 = nn.Conv2d(16, 12, 1, bias=False)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        y = self.bn10(self.conv10(x)).relu()
        return self.fc((self.conv100(y) + x).mean((2, 3)))

    def units(self) -> list[HandUnit]:
        return [unit('conv1', 12, 'conv1.weight', 'conv1.bias', 'bn1.weight', 'bn1.bias',
                     'bn1.running_mean', 'conv100.weight'),
                unit('conv10', 16, 'conv10.weight', 'conv10.bias', 'bn10.weight', 'bn10.bias')]


@dataclass(eq=False)
class Handle:
    name: str
    weight: Tensor | None
    log_d: nn.Parameter
    log_q_m: nn.Parameter
    log_t: nn.Parameter | None
    signed: bool = True
    scaled_elements: int = 0

    def bits(self) -> Tensor:
        t = 1. if self.log_t is None else self.log_t.double().exp()
        levels = torch.exp(t * self.log_q_m.double() - self.log_d.double())
        return torch.log2(levels + 1) + self.signed


def handle(name: str, weight: Tensor | None, bits: float = 12., per_channel: bool = False,
           learn_t: bool = True, signed: bool = True, q_m: float = 2.) -> Handle:
    if weight is not None:
        w = weight.detach().abs()
        q = w.flatten(1).amax(1) if per_channel else w.max().view(1)
    else:
        q = torch.tensor([q_m])
    log_q = q.clamp_min(1e-3).log()
    log_d = log_q - torch.tensor(2. ** (bits - signed) - 1).log()
    return Handle(name, weight, nn.Parameter(log_d), nn.Parameter(log_q),
                  nn.Parameter(torch.zeros(1)) if learn_t else None, signed)


def handles(net: Net) -> list[Handle]:
    return [handle('conv1', net.conv1.weight), handle('conv1.act', None, learn_t=False),
            handle('conv10', net.conv10.weight, per_channel=True),
            handle('conv100', net.conv100.weight, learn_t=False),
            handle('fc', net.fc.weight), handle('fc.act', None, learn_t=False, signed=False)]


def grouped(net: nn.Module, units: list | None = None) -> ChannelIndex:
    return ChannelIndex(net.units() if units is None else units, net.named_parameters(),
                      [n for n, _ in net.named_buffers()])


PLAN = StagePlan(total=60, warmup=5, projection=12, pruning=30, projection_periods=4,
                 pruning_periods=3)


def make(kind: str = 'qasso', ratio: float = 0.5, seed: int = 0, **options):
    """A net, its quantizers and an optimizer over them."""
    torch.manual_seed(seed)
    net = Net()
    options = {'variant': 'adamw', 'lr': 1e-2, 'plan': PLAN, 'implementation': 'foreach',
               'target': SparsityTarget(ratio), **options}
    if kind == 'hesso':
        return net, [], HESSO(net.parameters(), groups=grouped(net), **options)
    scales = handles(net)
    return net, scales, QASSO(
        net.parameters(), groups=grouped(net), handles=scales, weight_bits=BitRange(4, 8, 12),
        activation_bits=BitRange(5, 7, 10), lr_quant=1e-2, **options)


def set_grads(net: nn.Module, scales: list[Handle], step: int, seed: int = 0) -> None:
    """Give parameters the gradient of a loss on a batch of this step, and scales noise."""
    generator = torch.Generator().manual_seed(1000 * seed + step)
    x = torch.randn(4, 3, 6, 6, generator=generator)
    target = torch.randint(0, 5, (4,), generator=generator)
    net.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(net(x), target).backward()
    for item in scales:
        for scale in (item.log_d, item.log_q_m, item.log_t):
            if scale is not None:
                scale.grad = torch.randn(scale.shape, generator=generator)
