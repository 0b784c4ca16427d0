"""TensorRT: the ONNX file is written and checked; MMDeploy builds the engine where it runs."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..integers.quantized import SYMMETRIC
from .base import BACKENDS, ONNXRUNTIME_OPTIONS, Backend
from .integer_support import IntegerSupport


@BACKENDS.register_module('tensorrt')
class TensorRt(Backend):
    """TensorRT; takes symmetric int8, and fuses by itself what lies between the layers.

    ONNX Runtime computes the file in floating point, so its latency says nothing.
    """

    title = 'TensorRT'
    suffix = '.engine'
    integers = IntegerSupport(SYMMETRIC, weight_bits=8, activation_bits=8)
    timed = False
    unfit_options = ONNXRUNTIME_OPTIONS

    def config(self, shape: Sequence[int], input_name: str) -> dict[str, Any]:
        """Return MMDeploy's `backend_config` for a fixed shape; see the base class."""
        sizes = {key: list(shape) for key in ('min_shape', 'opt_shape', 'max_shape')}
        return dict(type=self.name,
                    common_config=dict(fp16_mode=False, max_workspace_size=1 << 30),
                    model_inputs=[dict(input_shapes={input_name: sizes})])
