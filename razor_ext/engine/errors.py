"""Errors that the tools print as one line."""
from __future__ import annotations


class RunError(ValueError):
    """A run that cannot be as it was asked for; says which value, and what to give."""


class DeployError(ValueError):
    """An input that cannot be deployed, or a result that must not be."""
