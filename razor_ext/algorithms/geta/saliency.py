"""Importance of groups: of five scores, each divided by its global norm, a weighted sum.

The formulas are those of ``only_train_once`` 3.0.1 (HESSO); low means prune.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from razor_ext.pruning.channel_index import ChannelIndex

CRITERIA = ('magnitude', 'avg_magnitude', 'cosine_similarity', 'taylor_first_order',
            'taylor_second_order')
PUBLISHED = dict.fromkeys(CRITERIA, 0.2)
_GUARD = 1e-8


class Saliency:
    """Weighted sum of importance scores.

    With x the parameters of a group of n elements and v the direction the optimizer descends along:
    ``magnitude`` |x|, ``avg_magnitude`` |x| / n, ``cosine_similarity`` cos(x, v) + 1,
    ``taylor_first_order`` \\|<x, v>\\|, ``taylor_second_order`` <x, v>^2 / 2.

    Args:
        weights: Weight per criterion; None takes ``taylor_first_order`` alone, :data:`PUBLISHED`
            is a fifth of each.
        cosine: Sign of the cosine. Removing a group moves it by -x, which changes the loss by about
            -<x, v>: a group with a *high* cosine is the one whose removal helps. ``'reference'``
            scores cos + 1 as published; ``'descent'`` scores 1 - cos.

    Raises:
        ValueError: An unknown criterion or sign, a negative weight, or no positive weight.
    """

    def __init__(self, weights: Mapping[str, float] | None = None,
                 cosine: str = 'reference') -> None:
        self.weights = {'taylor_first_order': 1.} if weights is None else dict(weights)
        unknown = sorted(set(self.weights) - set(CRITERIA))
        if unknown:
            raise ValueError(f'unknown importance criteria {unknown}; known: {", ".join(CRITERIA)}')
        if any(w < 0 for w in self.weights.values()) or not any(self.weights.values()):
            raise ValueError(f'importance weights {self.weights}: none may be negative and at '
                             'least one must be positive')
        if cosine not in ('reference', 'descent'):
            raise ValueError(f"cosine={cosine!r}: 'reference' (cos + 1) or 'descent' (1 - cos)")
        self.cosine = cosine

    def raw(self, index: ChannelIndex, params: Sequence[Tensor],
            directions: Sequence[Tensor]) -> dict[str, Tensor]:
        """Compute each criterion for each group.

        Args:
            index: Groups.
            params: Values of ``index.params``.
            directions: Direction v of each, same shapes.

        Returns:
            Scores [G] per criterion, before normalisation.
        """
        norms, products = index.norms(params), index.dots(params, directions)
        cosine = products / (norms + _GUARD) / (index.norms(directions) + _GUARD)
        values = {
            'magnitude': norms,
            'avg_magnitude': norms / (index.counts + 1e-6),
            'cosine_similarity': 1 + (cosine if self.cosine == 'reference' else -cosine),
            'taylor_first_order': products.abs(),
            'taylor_second_order': 0.5 * products * products,
        }
        return {name: values[name] for name in self.weights}

    def __call__(self, index: ChannelIndex, params: Sequence[Tensor],
                 directions: Sequence[Tensor]) -> Tensor:
        """Overall scores [G]; see :meth:`raw` for the arguments."""
        raw = self.raw(index, params, directions)
        total = torch.zeros(index.total, device=index.device)
        for name, weight in self.weights.items():
            norm = (raw[name].square().sum() + _GUARD).sqrt() + _GUARD
            total += raw[name] * (weight / norm)
        return total
