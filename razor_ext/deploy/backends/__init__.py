"""One object for each backend, found by MMDeploy's name or by the suffix of a file."""
from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path

from ..errors import DeployError
from .base import BACKENDS, Backend
from .integer_support import IntegerSupport
from .packaged import PackagedBackend

__all__ = ['BACKENDS', 'Backend', 'IntegerSupport', 'PackagedBackend', 'find_backend',
           'find_runner']

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f'{__name__}.{_module.name}')


def find_backend(name: str) -> Backend:
    """Find a backend.

    Args:
        name: MMDeploy's name of it.

    Returns:
        The registered one, else one that leaves everything to MMDeploy.
    """
    return BACKENDS.module_dict.get(name, Backend)(name)


def find_runner(path: str | os.PathLike) -> Backend:
    """Find the backend that runs a file.

    Args:
        path: A file that a backend loads.

    Raises:
        DeployError: If no backend runs such a file here.
    """
    able = {kind.suffix: name for name, kind in BACKENDS.module_dict.items() if kind.runs_here}
    suffix = Path(path).suffix
    if suffix not in able:
        raise DeployError(f'{os.fspath(path)!r} is run by no backend here; give one of '
                          + ', '.join(f'{suffix} ({name})' for suffix, name in able.items()))
    return find_backend(able[suffix])
