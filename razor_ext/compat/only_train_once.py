"""only_train_once imports modules that torch has moved and Python has removed."""
from __future__ import annotations

import importlib
import importlib.util
import sys

from .repair import RepairSpec
from .standin import stand_in_modules

_OLD = 'torch.onnx._globals'
_NEW = 'torch.onnx._internal.torchscript_exporter._globals'


def mend_exporter_globals() -> bool:
    """Let the old module name lead to the module's new place."""
    if importlib.util.find_spec(_OLD) is not None:
        return False
    sys.modules[_OLD] = importlib.import_module(_NEW)
    return True


def mend_imp() -> bool:
    """Import the package beside a stand-in ``imp``, which it imports and never uses."""
    if importlib.util.find_spec('imp') is not None:
        return False
    with stand_in_modules(('imp',), 'Python 3.12 removed it.'):
        importlib.import_module('only_train_once')
    return True


REPAIRS = (
    RepairSpec(
        'only_train_once-exporter', 'only_train_once',
        'only_train_once 3.0.1 imports torch.onnx._globals, which newer torch has moved',
        mend_exporter_globals),
    RepairSpec(
        'only_train_once-imp', 'only_train_once',
        'only_train_once 3.0.1 imports the module imp, which Python 3.12 no longer has',
        mend_imp),
)
