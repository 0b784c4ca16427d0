"""Backends that convert by their own converters instead of MMDeploy's."""
from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from mmdeploy.utils import Backend

from . import ncnn_backend, openvino_backend

#: Modules with `convert`, `run` and `Wrapper`.
OWN_CONVERTERS: dict[Backend, ModuleType] = {Backend.OPENVINO: openvino_backend,
                                             Backend.NCNN: ncnn_backend}
#: The same by the suffix of the file that is loaded.
BY_SUFFIX: dict[str, ModuleType] = {'.xml': openvino_backend, '.param': ncnn_backend}


def module_of(path: str | os.PathLike) -> ModuleType | None:
    """What runs a file; None for ONNX Runtime."""
    return BY_SUFFIX.get(Path(path).suffix)
