"""What a pruning run can end with."""
from __future__ import annotations


class TargetMissedError(RuntimeError):
    """The run ended before its compression target was met."""


class NothingTrainedError(RuntimeError):
    """The run ended without a single step of training."""
