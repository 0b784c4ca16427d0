"""Pruning algorithms, registered in MMRazor's registries."""
from . import baselines, geta, group_fisher, group_fisher_mmrazor

__all__ = ['baselines', 'geta', 'group_fisher', 'group_fisher_mmrazor']
