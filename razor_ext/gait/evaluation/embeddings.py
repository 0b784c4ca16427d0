"""Embeddings of a test set, and distances between them in blocks."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class EmbeddingSet:
    """Embeddings with their origin.

    Attributes:
        embeddings (Tensor): ``[p, n, c]``, parts first, so that each part is one matrix.
        subjects (np.ndarray): Subject names ``[n]``.
        conditions (np.ndarray): Condition names ``[n]``.
        views (np.ndarray): View names ``[n]``.
    """

    embeddings: Tensor
    subjects: np.ndarray
    conditions: np.ndarray
    views: np.ndarray

    @classmethod
    def from_results(cls, results: list[dict]) -> EmbeddingSet:
        """Stack and *consume* ``results``, of which each sequence may stand there more than once.

        Consuming frees each embedding as it is copied, so a large set is in memory once.
        """
        first = {r['sample_idx']: i for i, r in reversed(list(enumerate(results)))}
        order = [first[k] for k in sorted(first)]
        c, p = results[order[0]]['embedding'].shape
        embeddings = torch.empty(p, len(order), c)
        names: dict[str, list[str]] = {k: [] for k in ('subject', 'condition', 'view')}
        for row, i in enumerate(order):
            embeddings[:, row] = results[i].pop('embedding').T
            for key, values in names.items():
                values.append(results[i][key])
        results.clear()
        return cls(embeddings, *(np.array(v) for v in names.values()))

    def select(self, mask: np.ndarray) -> EmbeddingSet:
        """Return the sequences under a boolean mask ``[n]``."""
        index = torch.from_numpy(np.flatnonzero(mask))
        return EmbeddingSet(self.embeddings[:, index], self.subjects[mask], self.conditions[mask],
                            self.views[mask])

    def __len__(self) -> int:
        return len(self.subjects)


def part_distance(x: Tensor, y: Tensor, kind: str = 'euclidean') -> Tensor:
    """Distances of embeddings, averaged over parts.

    Args:
        x (Tensor): ``[p, m, c]``.
        y (Tensor): ``[p, n, c]``.
        kind (str): ``'euclidean'``, or ``'cosine'`` for one minus the cosine.

    Returns:
        Tensor: ``[m, n]``.
    """
    total = x.new_zeros(x.shape[1], y.shape[1])
    for a, b in zip(x, y):
        if kind == 'cosine':
            total -= F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
        else:
            d = torch.addmm(b.square().sum(1)[None], a, b.T, alpha=-2)
            total += d.add_(a.square().sum(1)[:, None]).clamp_(min=0).sqrt_()
    return total / len(x) + (1 if kind == 'cosine' else 0)


@dataclass(frozen=True)
class BlockDistance:
    """How distances are computed.

    Attributes:
        kind (str): See :func:`part_distance`.
        block (int): Largest number of rows or columns of a block.
        device (str | None): Torch device; None is a GPU where there is one.
    """

    kind: str = 'euclidean'
    block: int = 2048
    device: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ('euclidean', 'cosine'):
            raise ValueError(f"distance must be 'euclidean' or 'cosine', not {self.kind!r}")
        if self.block < 1:
            raise ValueError(f'block must be at least 1, not {self.block}')

    def _device(self) -> torch.device:
        return torch.device(self.device or ('cuda' if torch.cuda.is_available() else 'cpu'))

    def rows(self, probe: EmbeddingSet, gallery: EmbeddingSet) -> Iterator[tuple[slice, Tensor]]:
        """Yield slices of the probes with their distances ``[m, n]`` to the whole gallery."""
        device = self._device()
        for rows, x in _blocks(probe.embeddings, min(self.block, 256), device):
            yield rows, torch.cat([part_distance(x, y, self.kind) for _, y in
                                   _blocks(gallery.embeddings, self.block, device)], dim=1)

    def nearest_by_view(self, probe: EmbeddingSet, gallery: EmbeddingSet,
                        views: Sequence[str]) -> np.ndarray:
        """Index of each probe's nearest gallery sequence in each view.

        Returns:
            np.ndarray: int64 ``[probes, views]``, -1 where the gallery lacks the view.
        """
        device = self._device()
        nearest = torch.full((len(probe), len(views)), -1)
        for v, view in enumerate(views):
            index = torch.from_numpy(np.flatnonzero(gallery.views == view))
            if not len(index):
                continue
            best = torch.full((len(probe),), torch.inf, device=device)
            found = torch.zeros(len(probe), dtype=torch.long, device=device)
            for columns, y in _blocks(gallery.embeddings[:, index], self.block, device):
                for rows, x in _blocks(probe.embeddings, self.block, device):
                    value, column = part_distance(x, y, self.kind).min(1)
                    better = value < best[rows]
                    found[rows] = torch.where(better, column + columns.start, found[rows])
                    best[rows] = torch.where(better, value, best[rows])
            nearest[:, v] = index[found.cpu()]
        return nearest.numpy()


def _blocks(x: Tensor, size: int, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, x.shape[1], size):
        rows = slice(start, min(start + size, x.shape[1]))
        yield rows, x[:, rows].to(device)
