"""mmcv-lite has no compiled operators, yet mmdet and mmpose import them at module level."""
from __future__ import annotations

import importlib
import importlib.util
import sys

from .repair import RepairSpec
from .standin import StandInModule

_MESSAGE = ('mmcv-lite has no compiled operators; models that use them need the full mmcv '
            '(`mim install "mmcv==2.1.0"`, see `python -m razor_ext.check_env`).')


def _not_available() -> str:
    return 'n/a'


def mend_ops() -> bool:
    """Stand in for the compiled extension, so that ``mmcv.ops`` can be imported.

    Only the extension is replaced: the Python part of ``mmcv.ops`` is mmcv's own, operators that
    are written in Python work, and a compiled one raises when it runs.
    """
    if importlib.util.find_spec('mmcv._ext') is not None:
        return False
    extension = StandInModule('mmcv._ext', _MESSAGE)
    # mmcv.utils.collect_env asks for both and expects text.
    extension.get_compiler_version = _not_available
    extension.get_compiling_cuda_version = _not_available
    sys.modules[extension.__name__] = extension
    importlib.import_module('mmcv')._ext = extension
    return True


REPAIRS = (
    RepairSpec(
        'mmcv-ops', 'mmcv',
        'mmcv-lite comes without mmcv._ext, so nothing that imports mmcv.ops can be imported',
        mend_ops),
)
