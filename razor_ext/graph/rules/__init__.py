"""One small rule per ATen operator: how channel ids pass through it.

A rule takes the flow and the operator and returns the value of its first output, or a list with
one value (or None) for each output. `RULES` is the table; an operator that is not in it freezes all
it touches.
"""
from __future__ import annotations

from . import attention, conv, elementwise, index, matmul, norm, reduce, shape, view
from .registry import RULES, rule

__all__ = ['RULES', 'attention', 'conv', 'elementwise', 'index', 'matmul', 'norm', 'reduce', 'rule',
           'shape', 'view']
