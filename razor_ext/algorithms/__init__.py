"""Compression algorithms, registered in MMRazor's registries."""
from . import group_fisher

__all__ = ['group_fisher']
