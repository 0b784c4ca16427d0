"""ONNX Runtime: the exported file is the one that runs."""
from __future__ import annotations

import os

from ..integers.quantized import ON_GRIDS
from ..session import open_session
from .base import BACKENDS, Backend
from .integer_support import IntegerSupport
from .runner import Runner


@BACKENDS.register_module('onnxruntime')
class OnnxRuntime(Backend):
    """ONNX Runtime on the CPU; 2 to 8 bits run on integer kernels, 9 to 16 in float."""

    title = 'ONNX Runtime'
    suffix = '.onnx'
    integers = IntegerSupport(ON_GRIDS, weight_bits=16, activation_bits=16)
    runs_here = True

    def load(self, path: str | os.PathLike) -> Runner:
        """Open a session on all cores."""
        session = open_session(path, threads=0)
        name = session.get_inputs()[0].name
        return lambda batch: session.run(None, {name: batch})
