"""Pruning by chance: what every criterion has to beat."""
from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModel
from mmrazor.registry import MODELS
from torch import Tensor, nn

from razor_ext.pruning import ChannelIndex, Criterion, CriterionPruning, GraphMutator


class RandomCriterion(Criterion):
    """Uniform random scores, the same in the whole run.

    Args:
        seed: of the scores.
    """

    values: Tensor

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def prepare(self, architecture: nn.Module, mutator: GraphMutator) -> None:
        """Draw the scores; see the base class."""
        generator = torch.Generator().manual_seed(self.seed)
        total = sum(mutator.choice_template.values())
        self.register_buffer('values', torch.rand(total, generator=generator))

    def scores(self, index: ChannelIndex) -> Tensor:
        """Return the scores [C]."""
        return self.values


@MODELS.register_module()
class RandomPruning(CriterionPruning):
    """Prunes the same share of every unit at random.

    Args:
        architecture: the dense model, or its config.
        seed: of the choice.
        kwargs: see `CriterionPruning`.
    """

    title = 'random'
    target_defaults = dict(uniform=True)

    def __init__(self, architecture: BaseModel | dict, seed: int = 0, **kwargs: Any) -> None:
        self._seed = seed
        super().__init__(architecture, **kwargs)

    def build_criterion(self) -> RandomCriterion:
        """Make the random criterion."""
        return RandomCriterion(self._seed)
