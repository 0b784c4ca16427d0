"""mmpose's visualization imports one name of torchvision at module level."""
from __future__ import annotations

import importlib
import sys

from .repair import RepairSpec
from .standin import stand_in_modules

_MESSAGE = ('torchvision is missing or does not fit the installed torch; install the torchvision '
            'release made for it.')


def _torchvision_works() -> bool:
    """Return whether torchvision can be imported; leave no half-imported module behind.

    A torchvision built for another torch raises RuntimeError ("operator torchvision::nms does not
    exist") or OSError (a symbol its library lacks) rather than ImportError.
    """
    try:
        importlib.import_module('torchvision.transforms')
    except (ImportError, RuntimeError, OSError):
        for name in [name for name in sys.modules if name.partition('.')[0] == 'torchvision']:
            del sys.modules[name]
        return False
    return True


def mend_visualization() -> bool:
    """Import ``mmpose.visualization`` beside a stand-in torchvision, which is then taken away."""
    if _torchvision_works():
        return False
    with stand_in_modules(('torchvision', 'torchvision.transforms'), _MESSAGE):
        importlib.import_module('mmpose.visualization')
    return True


REPAIRS = (
    RepairSpec(
        'mmpose-torchvision', 'mmpose',
        'mmpose.visualization cannot be imported without a torchvision that fits torch',
        mend_visualization),
)
