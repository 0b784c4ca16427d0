"""Ranges of inner tensors over calibration inputs."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx

from ..onnx_graph import with_outputs
from ..session import open_session


def observe(model: onnx.ModelProto, names: Iterable[str],
            batches: Sequence[Mapping[str, np.ndarray]]) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of tensors over calibration batches.

    Args:
        model: Float graph.
        names: Tensors to watch.
        batches: Inputs by name, at least one.

    Returns:
        Range per tensor.
    """
    names = list(names)
    session = open_session(with_outputs(model, names).SerializeToString(), threads=0)
    ranges: dict[str, tuple[float, float]] = {}
    for batch in batches:
        for name, value in zip(names, session.run(names, dict(batch))):
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
    return ranges
