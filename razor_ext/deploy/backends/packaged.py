"""Backends with Python packages of their own."""
from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import DeployError
from .base import Backend


class PackagedBackend(Backend):
    """A backend that converts and runs by Python packages of its own instead of MMDeploy's."""

    runs_here = True
    draws = False
    #: Packages that it needs, by pip's names, which are those of their modules.
    packages: tuple[str, ...] = ()

    def require_installed(self) -> None:
        """Refuse a backend whose packages are not installed."""
        for name in self.packages:
            self.package(name)

    def package(self, name: str) -> ModuleType:
        """Import one of its packages.

        Raises:
            DeployError: If it is not installed.
        """
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise DeployError(f'{name} is not installed: pip install '
                              f'{" ".join(self.packages)}') from error
