"""A training loop of a user's own: batches of four classes, and the ten lines around them."""
from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from razor_ext.plain import Compression


def batches(count: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    for index in range(start, start + count):
        generator = torch.Generator().manual_seed(index)
        y = torch.randint(0, 4, (4, ), generator=generator)
        yield torch.randn(4, 3, 8, 8, generator=generator) + y.view(-1, 1, 1, 1), y


def train(compression: Compression, count: int | None = None, start: int = 0) -> Compression:
    """Train on batches, as many as the run has steps unless a count is given."""
    for x, y in batches(compression.total_steps if count is None else count, start):
        nn.functional.cross_entropy(compression.model(x), y).backward()
        compression.optimizer.step()
        compression.optimizer.zero_grad()
    return compression
