"""CIFAR-10 re-encoded as JPEG, and the ResNet-20 whose published weights go with it."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN, STD = np.array([.485, .456, .406]), np.array([.229, .224, .225])
#: Training images from this place of a fixed permutation on are the validation part.
HELD_OUT = 45000


class Block(nn.Module):
    """Two convolutions with a shortcut that pads channels (He et al., option A)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride, self.pad = stride, (out_channels - in_channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(x + y)


class ResNet20(nn.Module):
    """ResNet-20 for images of 32 x 32, under the names of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        layers = ((16, 16, 1), (16, 32, 2), (32, 64, 2))
        for number, (before, width, stride) in enumerate(layers, 1):
            blocks = [Block(before if i == 0 else width, width, stride if i == 0 else 1)
                      for i in range(3)]
            self.add_module(f'layer{number}', nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def published(folder: Path) -> ResNet20:
    """Return the network with its published weights."""
    state = torch.load(folder / 'resnet20.th', map_location='cpu')['state_dict']
    model = ResNet20()
    own = {key.removeprefix('module.'): value for key, value in state.items()}
    model.load_state_dict({key: own.get(key, value) for key, value in model.state_dict().items()})
    return model


def images(folder: Path, part: str, count: int) -> tuple[Tensor, Tensor]:
    """Return normalised images [n, 3, 32, 32] and labels [n].

    Args:
        folder: of the data set.
        part: 'train', 'val' (held out of the training images) or 'test'.
        count: images at most.
    """
    content = np.load(folder / ('test.npz' if part == 'test' else 'train.npz'))
    jpeg, offsets, labels = content['jpeg'], content['offsets'], content['labels']
    order = np.random.default_rng(0).permutation(50000)
    numbers = {'train': order[:HELD_OUT], 'val': order[HELD_OUT:],
               'test': np.arange(len(labels))}[part][:count]
    decoded = np.stack([cv2.imdecode(jpeg[offsets[i]:offsets[i + 1]], cv2.IMREAD_COLOR)[..., ::-1]
                        for i in numbers])
    x = torch.from_numpy(((decoded / 255. - MEAN) / STD).transpose(0, 3, 1, 2)).float()
    return x, torch.from_numpy(labels[numbers].astype(np.int64))


def batches(x: Tensor, y: Tensor, seed: int, steps: int, size: int = 64
            ) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield random batches, flipped and shifted by up to four pixels."""
    generator = torch.Generator().manual_seed(seed)
    taken = 0
    while taken < steps:
        for chosen in torch.randperm(len(x), generator=generator).split(size):
            if taken == steps or len(chosen) < size:
                break
            flip = (torch.rand(size, generator=generator) < .5)[:, None, None, None]
            dx, dy = torch.randint(0, 9, (2,), generator=generator).tolist()
            batch = torch.where(flip, x[chosen].flip(3), x[chosen])
            yield F.pad(batch, (4, 4, 4, 4))[:, :, dy:dy + 32, dx:dx + 32], y[chosen]
            taken += 1


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of right answers in evaluation mode, in %."""
    training = model.training
    model.eval()
    right = sum(int((model(a).argmax(1) == b).sum()) for a, b in zip(x.split(250), y.split(250)))
    model.train(training)
    return 100 * right / len(y)
