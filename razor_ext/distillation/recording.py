"""What methods of a model return while it computes its losses."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn


@contextmanager
def recorded(model: nn.Module, methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Note the latest result of each method inside the block.

    A method is seen whether it is called by name or through the module, and as it is outside the
    block nothing of it is copied or saved with the model.

    Args:
        model: the model.
        methods: dotted names, e.g. 'head.forward'.

    Yields:
        Results by name, filled as the methods are called.
    """
    results: dict[str, Any] = {}
    with ExitStack() as stack:
        for name in methods:
            stack.enter_context(_watched(model, name, results))
        yield results


@contextmanager
def _watched(model: nn.Module, name: str, results: dict[str, Any]) -> Iterator[None]:
    path, _, attribute = name.rpartition('.')
    owner = model.get_submodule(path)
    method, own = getattr(owner, attribute), vars(owner).get(attribute)

    def watching(*args: Any, **kwargs: Any) -> Any:
        results[name] = result = method(*args, **kwargs)
        return result

    vars(owner)[attribute] = watching
    try:
        yield
    finally:
        if own is None:
            del vars(owner)[attribute]
        else:
            vars(owner)[attribute] = own
