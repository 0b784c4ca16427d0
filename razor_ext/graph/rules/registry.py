"""The table of rules."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, TypeVar, Union

from ..flow import Flow, Op, Value

Result = Union[Value, Sequence[Union[Value, None]]]
Rule = Callable[[Flow, Op], Result]
RuleT = TypeVar('RuleT', bound=Rule)

RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[RuleT], RuleT]:
    """Register a rule for ATen operators, by name without namespace and overload."""

    def register(function: RuleT) -> RuleT:
        for name in names:
            if name in RULES:
                raise KeyError(f'operator {name} has a rule already')
            RULES[name] = function
        return function

    return register


def first(op: Op) -> Value:
    """Return the operator's first tensor argument."""
    return next(value for value in op.inputs.values() if isinstance(value, Value))


def normal(dim: int, rank: int) -> int:
    """Map a negative dimension to its positive index."""
    return dim % rank if rank else 0
