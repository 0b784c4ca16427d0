"""GETA and GroupFisher for MMPose and gait models: prune, finetune, test, deploy."""
from __future__ import annotations

from . import compat
from .version import __version__

# Before anything of OpenMMLab is imported.
compat.apply()

__all__ = ['__version__', 'compat']
