"""What can go wrong with a deployment; every message names the value and what to do."""
from __future__ import annotations


class DeployError(ValueError):
    """An input that cannot be deployed, or a result that must not be."""


class ParityError(RuntimeError):
    """The exported model does not compute what the torch model computes."""


class AuditError(RuntimeError):
    """A layer that should run on integers does not."""
