"""ONNX Runtime sessions on the CPU."""
from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import onnx
import torch

from .onnx_graph import with_outputs


def open_session(path: str | os.PathLike | bytes, threads: int):
    """Open an ONNX file under ONNX Runtime on the CPU.

    Args:
        path: File, or the serialized model itself.
        threads: Threads within an operator; 0 takes all cores.

    Returns:
        An ``onnxruntime.InferenceSession``.
    """
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads of one session must not spin while another one is timed.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    model = path if isinstance(path, bytes) else os.fspath(path)
    return onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])


def run_onnx(path: str | os.PathLike | bytes, inputs: Sequence[torch.Tensor],
             inner: Sequence[str] = ()) -> tuple[list[str], list[list[np.ndarray]]]:
    """Run an ONNX file of one input on a list of batches.

    Args:
        path: File or serialized model.
        inputs: Batches.
        inner: Tensors of the graph to return in place of its outputs.

    Returns:
        Output names, and per batch the output arrays.
    """
    if inner:
        model = onnx.load_from_string(path) if isinstance(path, bytes) else onnx.load(path)
        path = with_outputs(model, inner).SerializeToString()
    session = open_session(path, threads=0)
    name = session.get_inputs()[0].name
    names = list(inner) or [value.name for value in session.get_outputs()]
    return names, [session.run(names, {name: batch.cpu().numpy()}) for batch in inputs]


def random_feed(session, seed: int = 0) -> dict[str, np.ndarray]:
    """Standard normal inputs of batch 1 for a session; every other dimension must be fixed.

    Raises:
        ValueError: If a dimension other than the first has no fixed size.
    """
    generator = np.random.default_rng(seed)
    feed = {}
    for value in session.get_inputs():
        shape = [1 if index == 0 and not isinstance(size, int) else size
                 for index, size in enumerate(value.shape)]
        if not all(isinstance(size, int) for size in shape):
            raise ValueError(f'input {value.name!r} has free dimensions {value.shape}; '
                             'give its values with `feed`')
        feed[value.name] = generator.standard_normal(shape).astype(np.float32)
    return feed


def input_feed(path: str | os.PathLike, batch: torch.Tensor) -> dict[str, np.ndarray]:
    """A batch under the name of a file's input."""
    return {onnx.load(os.fspath(path)).graph.input[0].name: batch.cpu().numpy()}
