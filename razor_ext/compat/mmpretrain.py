"""mmpretrain's data sets and metrics import names of torchvision at module level."""
from __future__ import annotations

import importlib

from .repair import RepairSpec
from .torchvision import torchvision_stand_in, torchvision_works

#: The packages of mmpretrain that classification needs; `models` imports `evaluation`.
_PACKAGES = ('mmpretrain.models', 'mmpretrain.datasets')


def mend_torchvision_imports() -> bool:
    """Import mmpretrain's models and data sets beside a stand-in torchvision, which then goes.

    Raises:
        ImportError: also where a recent transformers has moved what mmpretrain derives from.
    """
    if torchvision_works():
        return False
    with torchvision_stand_in('ops', 'ops.boxes', 'transforms', 'transforms.functional',
                              'transforms.transforms'):
        try:
            for name in _PACKAGES:
                importlib.import_module(name)
        except TypeError as error:  # a class is derived from the None of a failed import
            raise ImportError(f'{error}: mmpretrain does not fit the installed transformers'
                              ) from error
    return True


REPAIRS = (
    RepairSpec(
        'mmpretrain-torchvision', 'mmpretrain',
        'mmpretrain.models and mmpretrain.datasets cannot be imported without a torchvision that '
        'fits torch',
        mend_torchvision_imports, needs=('mmcv', 'mmengine')),
)
