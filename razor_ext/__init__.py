"""GETA and GroupFisher for MMPose and gait models: prune, finetune, test, deploy."""
from __future__ import annotations

import importlib

from . import compat
from .version import __version__

# Before anything of OpenMMLab is imported.
compat.apply()

if compat.is_usable('mmengine'):
    if compat.is_usable('mmrazor'):
        importlib.import_module(f'{__name__}.algorithms')
    importlib.import_module(f'{__name__}.engine.families').load_families()

__all__ = ['__version__', 'compat']
