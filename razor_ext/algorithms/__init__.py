"""Compression algorithms, registered in MMRazor's registries."""
from . import geta, group_fisher

__all__ = ['geta', 'group_fisher']
