"""What can go wrong with a deployment; every message names the value and the way out."""
from __future__ import annotations

from razor_ext.engine.errors import DeployError


class ParityError(RuntimeError):
    """The exported model does not compute what the torch model computes."""


class AuditError(RuntimeError):
    """A layer that should run on integers does not."""


__all__ = ['AuditError', 'DeployError', 'ParityError']
