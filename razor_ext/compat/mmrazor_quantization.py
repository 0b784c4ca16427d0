"""MMRazor's own quantization, written for torch 1.13, which every import of MMRazor loads."""
from __future__ import annotations

import importlib
import sys
import types

from .repair import RepairSpec
from .standin import make_member

_FUSERS = 'torch.ao.quantization.fuser_method_mappings'
_BACKENDS = 'mmrazor.structures.quantization.backend_config'
_BACKEND_NAMES = ('academic', 'native', 'tensorrt', 'openvino')
_MESSAGE = ("MMRazor's own quantization needs torch 1.13. Use the GETA algorithm of razor_ext, or "
            'its post-training quantization at deployment.')


def mend_backend_configs() -> bool:
    """Let MMRazor load without its fx backend configurations, as its git main branch does.

    The release guards them with ``torch>=1.13`` only and builds them on import out of private
    names of torch 1.13. Here the missing names exist while MMRazor's module is imported, and the
    table of backend configurations holds None, which is what the git main branch puts there.
    """
    fusers = importlib.import_module(_FUSERS)
    names = ('reverse2', 'reverse3', 'reverse_sequential_wrapper2')
    missing = [name for name in names if not hasattr(fusers, name)]
    if not missing or _BACKENDS in sys.modules:
        return False
    mapping = types.ModuleType(f'{_BACKENDS}.mapping', _MESSAGE)
    mapping.BackendConfigs = dict.fromkeys(_BACKEND_NAMES)
    sys.modules[mapping.__name__] = mapping
    for name in missing:
        setattr(fusers, name, make_member(name, _MESSAGE))
    try:
        importlib.import_module(_BACKENDS)
    finally:
        for name in missing:
            delattr(fusers, name)
    return True


REPAIRS = (
    RepairSpec(
        'mmrazor-quantization', 'mmrazor',
        'mmrazor 1.0.0 builds quantization tables on import from names torch 2 no longer has',
        mend_backend_configs),
)
