"""A stand-in for torchvision, of which some packages import a few names at module level."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .standin import stand_in_modules

_MESSAGE = ('torchvision is missing or does not fit the installed torch; install the torchvision '
            'release made for it.')


def torchvision_works() -> bool:
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


@contextmanager
def torchvision_stand_in(*names: str) -> Iterator[None]:
    """Put a stand-in torchvision in its place for the length of a block, then take it away.

    Args:
        names: Its modules below ``torchvision``, a package before what it contains.
    """
    modules = ('torchvision', *(f'torchvision.{name}' for name in names))
    with stand_in_modules(modules, _MESSAGE):
        yield
