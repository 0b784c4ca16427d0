"""What every compression algorithm can end with."""
from __future__ import annotations


class TargetMissedError(RuntimeError):
    """The run ended before its compression target was met."""


class UnprunedError(RuntimeError):
    """A model that should have been pruned is whole."""
