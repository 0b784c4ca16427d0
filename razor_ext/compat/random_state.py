"""The state of the random generators of a process, as plain values that a checkpoint holds."""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, get_worker_info


def random_state() -> dict[str, Any]:
    """Return the state of Python's, NumPy's and torch's generators, and of the current GPU's."""
    version, python, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    state = {'python': [version, list(python), gauss],
             'numpy': [kind, np.asarray(keys).tolist(), position, has_gauss, cached],
             'torch': torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Set the generators to what `random_state` gave."""
    version, python, gauss = state['python']
    random.setstate((version, tuple(python), gauss))
    kind, keys, *rest = state['numpy']
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


class EpochSeeds:
    """Fetches samples in workers that outlive an epoch, their generators seeded anew in each.

    A DataLoader finds it as `dataset.__getitems__`. So the random transforms of an epoch depend on
    its number, not on what the workers did before, and a resumed run makes the same ones. Those of
    epoch 0 are seeded as the workers were.

    Args:
        dataset: the data set.
        seed: of the run.
        rank: of the process.
    """

    def __init__(self, dataset: Any, seed: int, rank: int) -> None:
        self.dataset, self.seed, self.rank = dataset, seed, rank
        self._inner: Callable | None = getattr(dataset, '__getitems__', None)
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._seeded = 0

    def start(self, epoch: int) -> None:
        """Say, in the main process, which epoch the workers are to make samples of."""
        self._epoch.fill_(epoch)

    def __call__(self, indices: list) -> list:
        """Return the samples of some indices."""
        epoch, worker = int(self._epoch), get_worker_info()
        if worker is not None and epoch != self._seeded:
            numbers = np.random.SeedSequence((self.seed, self.rank, worker.id, epoch))
            first, second, third = (int(n) for n in numbers.generate_state(3))
            random.seed(first)
            np.random.seed(second)
            torch.manual_seed(third)
            self._seeded = epoch
        return self._inner(indices) if self._inner else [self.dataset[i] for i in indices]


def _workers_stay(loader: Any) -> bool:
    # A loader of another kind (DALI's) has no such workers.
    return getattr(loader, 'num_workers', 0) > 0 and getattr(loader, 'persistent_workers', False)


def seed_workers(loader: DataLoader, seed: int, rank: int, epoch: int) -> None:
    """Seed the workers of a loader for an epoch, where they outlive epochs.

    Args:
        loader: of the training.
        seed: of the run, not negative.
        rank: of the process.
        epoch: number of the epoch to come, from 0.
    """
    if not _workers_stay(loader) or not hasattr(loader.dataset, '__dict__'):
        return  # there are none, or they are made and seeded in each epoch
    seeds = getattr(loader.dataset, '__getitems__', None)
    if not isinstance(seeds, EpochSeeds):
        seeds = EpochSeeds(loader.dataset, seed, rank)
        vars(loader.dataset)['__getitems__'] = seeds
    seeds.start(epoch)


def start_loader(loader: DataLoader) -> Any:
    """Return the iterator of a loader.

    Where it outlives epochs, it is made without a draw from torch's generator: in a resumed run it
    is made in another epoch than in one that was not.
    """
    if not _workers_stay(loader):
        return iter(loader)
    state = torch.get_rng_state()
    iterator = iter(loader)
    torch.set_rng_state(state)
    return iterator
