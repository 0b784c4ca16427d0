"""GroupFisher pruning (https://arxiv.org/abs/2108.00708) over the dependency graph."""
from .algorithm import GroupFisher
from .criterion import FisherCriterion

__all__ = ['FisherCriterion', 'GroupFisher']
