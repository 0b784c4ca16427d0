"""mmrazor lets every program recurse until the stack is full."""
from __future__ import annotations

import importlib
import sys

from .repair import RepairSpec

#: Before MMRazor is imported.
_LIMIT = sys.getrecursionlimit()
_SETTERS = ('mmrazor.structures.graph.channel_flow',
            'mmrazor.models.task_modules.tracer.fx_tracer')


def mend_recursion_limit() -> bool:
    """Restore the limit that MMRazor's modules change as they are imported."""
    for name in _SETTERS:
        importlib.import_module(name)
    if sys.getrecursionlimit() == _LIMIT:
        return False
    sys.setrecursionlimit(_LIMIT)
    return True


REPAIRS = (
    RepairSpec(
        'mmrazor-recursion', 'mmrazor',
        'mmrazor 1.0.0 sets the recursion limit to 2^20: what recurses too deep, such as a nested '
        'JSON file, ends in a crash (signal 11) and not in an error',
        mend_recursion_limit),
)
