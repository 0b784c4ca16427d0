"""Batches for training: P subjects with K sequences each, or any sequences."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mmengine.dataset import DefaultSampler
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from razor_ext.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class TripletBatchSampler(Sampler):
    """Endless P x K batches, of which every rank takes its share.

    The loader's ``batch_size`` is P x K *over all ranks*: the batch is the same however many ranks
    share it. All ranks draw with the seed rank 0 gave its sampler, so they agree without talking.

    Args:
        sampler (DefaultSampler): Gives the data set, whose ``labels`` are read, and the seed.
        batch_size (int): P x K.
        subjects (int): P, drawn without replacement; K sequences of each are drawn with replacement
            only from subjects that have fewer.
        shuffle (bool): Mix the batch before the ranks share it; otherwise a rank takes every
            n-th sequence of the subjects in turn. The batch as a whole is the same.

    Raises:
        ValueError: If P does not divide the batch, the ranks cannot share it evenly, or there are
            fewer than P subjects.
    """

    def __init__(self, sampler: DefaultSampler, batch_size: int, subjects: int,
                 shuffle: bool = False) -> None:
        self.rank, self.world_size = get_dist_info()
        if batch_size % subjects or batch_size % self.world_size:
            raise ValueError(f'batch_size={batch_size}, the P x K of all ranks, must be a multiple '
                             f'of subjects={subjects} and of the {self.world_size} ranks')
        labels = sampler.dataset.labels
        self.indices = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if len(self.indices) < subjects:
            raise ValueError(f'the data set has {len(self.indices)} subjects, fewer than '
                             f'subjects={subjects}')
        self.batch_size = batch_size
        self.subjects = subjects
        self.shuffle = shuffle
        self.sampler = sampler
        self.num_sequences = len(labels)

    def __len__(self) -> int:
        """Batches in which as many sequences are drawn as there are."""
        return max(1, self.num_sequences // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield this rank's share of one batch after another."""
        rng = np.random.default_rng(self.sampler.seed)
        count = self.batch_size // self.subjects
        while True:
            chosen = rng.choice(len(self.indices), self.subjects, replace=False)
            batch = np.concatenate([
                rng.choice(self.indices[s], count, replace=len(self.indices[s]) < count)
                for s in chosen])
            if self.shuffle:
                rng.shuffle(batch)
            yield batch[self.rank::self.world_size].tolist()


@DATA_SAMPLERS.register_module()
class RandomBatchSampler(Sampler):
    """Endless batches of any sequences, of which every rank takes its share.

    Args:
        sampler (DefaultSampler): Gives the data set and the seed, which all ranks share.
        batch_size (int): Sequences of a batch *over all ranks*, drawn without replacement, and with
            it only from a data set that has fewer.

    Raises:
        ValueError: If the ranks cannot share a batch evenly.
    """

    def __init__(self, sampler: DefaultSampler, batch_size: int) -> None:
        self.rank, self.world_size = get_dist_info()
        if batch_size % self.world_size:
            raise ValueError(f'batch_size={batch_size}, of all ranks, must be a multiple of the '
                             f'{self.world_size} ranks')
        self.batch_size = batch_size
        self.sampler = sampler
        self.num_sequences = len(sampler.dataset)

    def __len__(self) -> int:
        """Batches in which as many sequences are drawn as there are."""
        return max(1, self.num_sequences // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield this rank's share of one batch after another."""
        rng = np.random.default_rng(self.sampler.seed)
        while True:
            batch = rng.choice(self.num_sequences, self.batch_size,
                               replace=self.num_sequences < self.batch_size)
            yield batch[self.rank::self.world_size].tolist()
