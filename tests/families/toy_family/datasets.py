"""Sines of random frequency."""
from __future__ import annotations

import torch
from torch.utils.data import Dataset

from razor_ext.registry import DATASETS


@DATASETS.register_module()
class ToySines(Dataset):
    """Sine and cosine of one frequency, which is to be told.

    Args:
        length: Number of signals.
    """

    def __init__(self, length: int = 32) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        frequency = torch.rand(1, generator=torch.Generator().manual_seed(index))
        phase = 6 * frequency * torch.linspace(0, 1, 32)
        return dict(inputs=torch.stack([phase.sin(), phase.cos()]), data_samples=frequency)
