"""Reports over what a pipeline has left in its work directories."""
from .comparison import Stage, compare

__all__ = ['Stage', 'compare']
