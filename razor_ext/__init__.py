"""GETA and GroupFisher for MMPose and gait models: prune, finetune, test, deploy."""
from __future__ import annotations

import importlib

from . import compat
from .version import __version__

# Before anything of OpenMMLab is imported.
compat.apply()

# Sub-packages that register modules, with the packages they cannot be imported without.
REGISTERING = (
    ('algorithms', ('mmengine', 'mmrazor')),
    ('gait', ('mmengine', 'mmcv')),
    ('pose', ('mmengine', 'mmpose')),
)

for _name, _needs in REGISTERING:
    if all(compat.is_usable(_package) for _package in _needs):
        importlib.import_module(f'{__name__}.{_name}')

__all__ = ['__version__', 'compat']
