"""Errors that the tools print as one line."""
from __future__ import annotations


class DeployError(ValueError):
    """An input that cannot be deployed, or a result that must not be."""
