"""Well-known criteria, to compare with: L1 norms, first-order Taylor expansion, chance."""
from .l1 import L1Pruning
from .random import RandomPruning
from .taylor import TaylorPruning

__all__ = ['L1Pruning', 'RandomPruning', 'TaylorPruning']
