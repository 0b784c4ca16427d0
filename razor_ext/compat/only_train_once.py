"""only_train_once imports a private module of torch's exporter under its old name."""
from __future__ import annotations

import importlib
import importlib.util
import sys

from .repair import RepairSpec

_OLD = 'torch.onnx._globals'
_NEW = 'torch.onnx._internal.torchscript_exporter._globals'


def mend_exporter_globals() -> bool:
    """Let the old module name lead to the module's new place."""
    if importlib.util.find_spec(_OLD) is not None:
        return False
    sys.modules[_OLD] = importlib.import_module(_NEW)
    return True


REPAIRS = (
    RepairSpec(
        'only_train_once-exporter', 'only_train_once',
        'only_train_once 3.0.1 imports torch.onnx._globals, which newer torch has moved',
        mend_exporter_globals),
)
