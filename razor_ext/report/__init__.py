"""Reports over what a pipeline has left in its work directories."""
from .comparison import Comparison, Stage, compare

__all__ = ['Comparison', 'Stage', 'compare']
