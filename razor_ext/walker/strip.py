from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .silhouette import silhouette_sequence


def silhouette_strip(subject: str, view: str = '090', seed: int = 0, num_frames: int = 13,
                     conditions: Sequence[str] = ('nm-01', 'bg-01', 'cl-01'),
                     step: int = 2) -> np.ndarray:
    """Silhouettes of one person, one row per condition.

    Args:
        subject: Name of the person.
        view: Bearing of the camera in degrees.
        seed: Seed of the population.
        num_frames: Silhouettes in a row.
        conditions: Names of the walks.
        step: Frames between two silhouettes.

    Returns:
        np.ndarray: uint8 ``[64 * conditions, 64 * num_frames]``.
    """
    rows = [silhouette_sequence(seed, subject, condition, view, step * num_frames)[::step]
            for condition in conditions]
    return np.concatenate([np.concatenate(list(row), 1) for row in rows])
