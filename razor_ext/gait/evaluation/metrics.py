"""What the metrics of gait recognition share: embeddings of all ranks, judged on the first."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from .embeddings import BlockDistance, EmbeddingSet


class GaitMetric(BaseMetric):
    """Collects embeddings of all ranks and judges them on the first.

    Args:
        distance (str): ``'euclidean'`` or ``'cosine'``, averaged over parts.
        block (int): Largest block of sequences compared at once.
        device (str, optional): Where distances are computed; None is a GPU where there is one.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'gait'

    def __init__(self, distance: str = 'euclidean', block: int = 2048, device: str | None = None,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.distance = BlockDistance(distance, block, device)
        self.view_figures: dict[str, dict[str, float]] = {}

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the embeddings of a batch.

        Raises:
            ValueError: If one is not finite; it names the sequence.
        """
        for sample in data_samples:
            embedding = sample['embedding'].detach().float().cpu().clone()
            if not torch.isfinite(embedding).all():
                raise ValueError(f'{sample["path"]}: its embedding is not finite; the checkpoint '
                                 'has diverged, or half precision overflowed')
            self.results.append({'embedding': embedding, **{
                k: sample[k] for k in ('sample_idx', 'subject', 'condition', 'view')}})

    def compute_metrics(self, results: list) -> dict:
        """Judge the embeddings of all ranks."""
        if not results:
            raise ValueError(f'{type(self).__name__} got no embeddings: is the test set empty?')
        self.results.clear()
        return self.judge(EmbeddingSet.from_results(results))

    def judge(self, data: EmbeddingSet) -> dict:
        """Return the figures of a set of embeddings, and log their table."""
        raise NotImplementedError

    def _part(self, data: EmbeddingSet, role: str, conditions: Sequence[str]) -> EmbeddingSet:
        mask = np.isin(data.conditions, conditions)
        if not mask.any():
            raise ValueError(f'no {role} sequence of conditions {list(conditions)}; the test set '
                             f'has {sorted(set(data.conditions))[:20]}')
        return data.select(mask)
