"""What every pruning algorithm shares."""
from .optim import OPTIMIZER_BUILDERS, CompressionOptimWrapperConstructor

__all__ = ['OPTIMIZER_BUILDERS', 'CompressionOptimWrapperConstructor']
