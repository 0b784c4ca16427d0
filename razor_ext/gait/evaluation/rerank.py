"""Re-ranking by k-reciprocal neighbours (Zhong et al., CVPR 2017)."""
from __future__ import annotations

import numpy as np


def k_reciprocal_distance(distance: np.ndarray, num_probes: int, k1: int = 6, k2: int = 6,
                          weight: float = 0.3) -> np.ndarray:
    """Distances of probes to the gallery that also count what neighbours two sequences share.

    Every column of the distances is divided by its largest entry. R(i) are the sequences among the
    k1 nearest of i, itself included, that have i among theirs; the like set of k1 / 2 of a member
    joins it where more than two thirds of that set lie in R(i). A sequence is then a vector of
    exp(-distance) over its R, of sum 1, averaged over its k2 nearest; two vectors are as far apart
    as their Jaccard distance, 1 - sum min / sum max.

    Args:
        distance (np.ndarray): ``[n, n]`` of all sequences, the probes first.
        num_probes (int): Number of probes.
        k1 (int): Neighbours that are considered.
        k2 (int): Neighbours that are averaged over; 1 averages nothing.
        weight (float): Weight of the distance itself against the Jaccard distance.

    Returns:
        np.ndarray: ``[probes, n - probes]``.
    """
    distance = (distance / np.maximum(distance.max(0), np.finfo(distance.dtype).tiny)).T
    order = distance.argsort(1, kind='stable')
    near, half = _reciprocal(order, k1), _reciprocal(order, int(np.around(k1 / 2)))
    vectors = np.zeros_like(distance)
    for i, members in enumerate(near):
        grown = np.unique(np.concatenate([members, *(
            half[j] for j in members
            if np.isin(half[j], members).sum() > 2 / 3 * len(half[j]))]))
        weights = np.exp(-distance[i, grown])
        vectors[i, grown] = weights / weights.sum()
    if k2 > 1:
        vectors = np.stack([vectors[row[:k2]].mean(0) for row in order])
    jaccard = np.stack([_jaccard(vectors[i], vectors) for i in range(num_probes)])
    mixed = jaccard * (1 - weight) + distance[:num_probes] * weight
    return mixed[:, num_probes:]


def _reciprocal(order: np.ndarray, count: int) -> list[np.ndarray]:
    """For each sequence, those of its nearest, itself included, that have it among theirs."""
    nearest = order[:, :count + 1]
    return [row[(nearest[row] == i).any(1)] for i, row in enumerate(nearest)]


def _jaccard(vector: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distances of a vector of sum 1 to others of sum 1."""
    used = np.flatnonzero(vector)
    shared = np.minimum(vector[used], others[:, used]).sum(1)
    return 1 - shared / (2 - shared)
