"""GETA and GroupFisher for MMPose and gait models: prune, finetune, test, deploy."""
from __future__ import annotations

import importlib
import warnings
from typing import Any

with warnings.catch_warnings():
    # What dependencies warn of while they are imported concerns their own code.
    warnings.filterwarnings('ignore', module=r'(?!razor_ext(\.|$))')
    from . import compat
    from .version import __version__

    # Before anything of OpenMMLab is imported.
    compat.apply()
    if compat.is_usable('mmengine'):
        if compat.is_usable('mmrazor'):
            importlib.import_module(f'{__name__}.algorithms')
        importlib.import_module(f'{__name__}.engine.families').load_families()

__all__ = ['__version__', 'compat', 'compress', 'load_compressed_model']

#: Compression of plain PyTorch models, imported when it is asked for.
_PLAIN = ('compress', 'load_compressed_model')


def __getattr__(name: str) -> Any:
    if name in _PLAIN:
        return getattr(importlib.import_module(f'{__name__}.plain'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
