"""The field's protocols as functions of embeddings."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .embeddings import BlockDistance, EmbeddingSet


def view_matrix(probe: EmbeddingSet, gallery: EmbeddingSet, views: Sequence[str],
                distance: BlockDistance) -> np.ndarray:
    """Rank-1 of every pair of views.

    Returns:
        np.ndarray: Per cent, rounded to two decimals as published, ``[probe view, gallery view]``;
        NaN where either set lacks the view.
    """
    nearest = distance.nearest_by_view(probe, gallery, views)
    hits = gallery.subjects[nearest] == probe.subjects[:, None]
    matrix = np.full((len(views), len(views)), np.nan)
    for i, view in enumerate(views):
        rows = probe.views == view
        if rows.any():
            matrix[i] = np.where(nearest[rows].min(0) < 0, np.nan, hits[rows].mean(0) * 100)
    return matrix.round(2)


def rank_matrices(probe: EmbeddingSet, gallery: EmbeddingSet, views: Sequence[str],
                  distance: BlockDistance, ranks: Sequence[int]) -> list[np.ndarray]:
    """Rank-k of every pair of views, for each k; see :func:`view_matrix`."""
    matrices = [np.full((len(views), len(views)), np.nan) for _ in ranks]
    for j, gallery_view in enumerate(views):
        seen = gallery.select(gallery.views == gallery_view)
        if not len(seen):
            continue
        nearest = top_subjects(probe, seen, distance, max(ranks))
        hits = (nearest == probe.subjects[:, None]).cumsum(1) > 0
        for i, view in enumerate(views):
            rows = probe.views == view
            for matrix, rank in zip(matrices, ranks):
                if rows.any():
                    matrix[i, j] = hits[rows, min(rank, hits.shape[1]) - 1].mean() * 100
    return [matrix.round(2) for matrix in matrices]


def exclude_identical_views(matrix: np.ndarray) -> np.ndarray:
    """Mean over the other gallery views, for each probe view ``[views]``."""
    off = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    return _nanmean(off, 1)


def _nanmean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    count = (~np.isnan(values)).sum(axis)
    return np.where(count, np.nansum(values, axis) / np.maximum(count, 1), np.nan)


def _percent(values: np.ndarray) -> float:
    return float(values.mean() * 100) if len(values) else float('nan')


@dataclass
class Retrieval:
    """Per-probe figures of a ranked gallery; NaN where the gallery holds no match.

    Attributes:
        rank (np.ndarray): Rank of the first match, from 1.
        ap (np.ndarray): Average precision.
        inp (np.ndarray): Inverse negative penalty: matches over the rank of the last one.
    """

    rank: np.ndarray
    ap: np.ndarray
    inp: np.ndarray

    def summary(self, mask: np.ndarray | None = None, ranks: Sequence[int] = (1,),
                count_misses: bool = False) -> dict:
        """Per cent over the probes (under a mask) that have a match.

        Args:
            mask (np.ndarray, optional): Probes that count.
            ranks (Sequence[int]): Ranks asked for.
            count_misses (bool): Count a probe without a match as a miss of every rank.
        """
        asked = np.ones(len(self.rank), dtype=bool) if mask is None else mask
        keep = asked & ~np.isnan(self.rank)
        ranked = self.rank[asked if count_misses else keep]
        result = {f'R{k}': _percent(ranked <= k) for k in ranks}
        return {**result, 'mAP': _percent(self.ap[keep]), 'mINP': _percent(self.inp[keep])}


def retrieve(probe: EmbeddingSet, gallery: EmbeddingSet, distance: BlockDistance,
             drop_same_view: bool = False) -> Retrieval:
    """Rank the whole gallery for every probe.

    Args:
        probe (EmbeddingSet): Queries.
        gallery (EmbeddingSet): Candidates.
        distance (BlockDistance): How distances are computed.
        drop_same_view (bool): Leave out a probe's own subject in its own view.
    """
    subject, view = _codes(probe.subjects, gallery.subjects), _codes(probe.views, gallery.views)
    columns: list[Tensor] = []
    for rows, dist in distance.rows(probe, gallery):
        same = subject[0][rows, None].to(dist.device) == subject[1].to(dist.device)
        if drop_same_view:
            drop = same & (view[0][rows, None].to(dist.device) == view[1].to(dist.device))
            dist, same = dist.masked_fill(drop, torch.inf), same & ~drop
        order = dist.argsort(dim=1, stable=True)
        match = same.gather(1, order).double()
        place = torch.arange(1, match.shape[1] + 1, device=match.device, dtype=torch.double)
        count = match.sum(1)
        precision = match.cumsum(1) / place
        first = match.argmax(1) + 1.0
        last = (match * place).amax(1)
        figures = torch.stack([first, (precision * match).sum(1) / count, count / last])
        columns.append(figures.masked_fill(count == 0, torch.nan).cpu())
    return Retrieval(*torch.cat(columns, 1).numpy())


def _codes(a: np.ndarray, b: np.ndarray) -> tuple[Tensor, Tensor]:
    codes = torch.from_numpy(np.unique(np.concatenate([a, b]), return_inverse=True)[1])
    return codes[:len(a)], codes[len(a):]


def top_subjects(probe: EmbeddingSet, gallery: EmbeddingSet, distance: BlockDistance,
                 count: int) -> np.ndarray:
    """Subjects of the nearest ``count`` gallery sequences, ``[probes, count]``, nearest first."""
    rows = [dist.argsort(dim=1, stable=True)[:, :count].cpu().numpy()
            for _, dist in distance.rows(probe, gallery)]
    return gallery.subjects[np.concatenate(rows)]
