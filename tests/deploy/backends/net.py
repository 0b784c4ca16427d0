"""A model that every backend converts."""
from __future__ import annotations

import torch
from torch import nn


class Net(nn.Module):
    """A convolution with MMEngine's signature and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor, data_samples: None = None,
                mode: str = 'tensor') -> tuple[torch.Tensor, torch.Tensor]:
        y = self.conv(x)
        return y.flatten(2), y.mean((2, 3))
