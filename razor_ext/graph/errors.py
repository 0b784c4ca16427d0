"""Errors of the dependency graph; each names the operator and the source line it is about."""
from __future__ import annotations


class GraphError(RuntimeError):
    """Base class of all errors of `razor_ext.graph`."""


class TraceError(GraphError):
    """The model cannot be traced with the given inputs."""


class NothingToPruneError(GraphError):
    """No channel of the model can be removed."""


class SliceError(GraphError):
    """A model cannot be sliced as asked, or the sliced model would not be the same function."""


class ProofError(GraphError):
    """A proof proved nothing: masking did not change the outputs."""
