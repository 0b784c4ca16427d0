"""CIFAR ResNet-20 and VGG-7, and their channel units made by hand."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class HandMember:
    name: str
    dim: int
    indices: Tensor
    role: str


@dataclass(frozen=True)
class HandUnit:
    name: str
    num_channels: int
    members: tuple


def unit(name: str, channels: int, *names: str) -> HandUnit:
    """A unit whose members hold one position per channel along dimension 0."""
    rows = torch.arange(channels).view(-1, 1)
    return HandUnit(name, channels, tuple(HandMember(n, 0, rows, 'out') for n in names))


class Block(nn.Module):
    """Basic residual block; the shortcut of the first block of a stage is a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                          nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + self.shortcut(x)).relu()


class ResNet20(nn.Module):
    """CIFAR ResNet-20: three stages of three blocks."""

    def __init__(self, width: int = 16, blocks: int = 3) -> None:
        super().__init__()
        self.width, self.blocks = width, blocks
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage in range(3):
            outputs = width << stage
            layers = [Block(inputs if i == 0 else outputs, outputs, 2 if stage and not i else 1)
                      for i in range(blocks)]
            setattr(self, f'layer{stage + 1}', nn.Sequential(*layers))
            inputs = outputs
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))

    def units(self) -> list[HandUnit]:
        units = []
        for stage in (1, 2, 3):
            channels = self.width << (stage - 1)
            shared = ['conv1.weight', 'bn1.weight', 'bn1.bias'] if stage == 1 else [
                f'layer{stage}.0.shortcut.0.weight', f'layer{stage}.0.shortcut.1.weight',
                f'layer{stage}.0.shortcut.1.bias']
            for block in range(self.blocks):
                stem = f'layer{stage}.{block}'
                shared += [f'{stem}.conv2.weight', f'{stem}.bn2.weight', f'{stem}.bn2.bias']
                units.append(unit(f'{stem}.conv1', channels, f'{stem}.conv1.weight',
                                  f'{stem}.bn1.weight', f'{stem}.bn1.bias'))
            units.append(unit(f'stage{stage}', channels, *shared))
        return units


class VGG7(nn.Module):
    """VGG-7 with batch norm for 32x32 images."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        layers, inputs = [], 3
        for i, outputs in enumerate([width, width, 2 * width, 2 * width, 4 * width, 4 * width]):
            layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
            if i % 2:
                layers.append(nn.MaxPool2d(2))
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.fc1 = nn.Linear(inputs, 8 * width)
        self.fc2 = nn.Linear(8 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.nn.functional.adaptive_avg_pool2d(self.features(x), 1).flatten(1)
        return self.fc2(self.fc1(x).relu())

    def units(self) -> list[HandUnit]:
        units = []
        for i, layer in enumerate(self.features):
            if isinstance(layer, nn.Conv2d):
                names = [f'features.{j}.{kind}' for j in (i, i + 1) for kind in ('weight', 'bias')]
                units.append(unit(f'features.{i}', layer.out_channels, *names))
        return [*units, unit('fc1', self.fc1.out_features, 'fc1.weight', 'fc1.bias')]
