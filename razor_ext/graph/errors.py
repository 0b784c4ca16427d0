"""Errors of the dependency graph; each names the operator and the source line it is about."""
from __future__ import annotations

from typing import Any


class GraphError(RuntimeError):
    """Base class of all errors of `razor_ext.graph`."""


class TraceError(GraphError):
    """The model cannot be traced with the given inputs.

    Args:
        message: Names the operator and the source line.
        cause: The failure itself, in short.
        program: What was recorded before the failure.
    """

    def __init__(self, message: str, cause: str = '', program: Any = None) -> None:
        super().__init__(message)
        self.cause = cause or message
        self.program = program


class NothingToPruneError(GraphError):
    """No channel of the model can be removed."""


class SliceError(GraphError):
    """A model cannot be sliced as asked, or the sliced model would not be the same function."""


class ProofError(GraphError):
    """A proof proved nothing: masking did not change the outputs."""
