"""The latency of deployed files, and the refusal of slow ones."""
from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from ..errors import DeployError
from ..session import input_feed
from .timing import Spread, speedups, time_onnx

#: 0 takes all cores.
THREAD_COUNTS = (1, 0)


def measure(files: Mapping[str, str | os.PathLike], batch: torch.Tensor,
            rounds: int) -> dict[str, dict]:
    """Time files in turns, on one thread and on all.

    Args:
        files: Name and ONNX file; the first one, `onnx`, is what is deployed.
        batch: Input of all of them.
        rounds: Turns; 0 measures nothing.

    Returns:
        Per number of threads: ``ms`` of each file and ``speedup`` of `onnx` over each other one,
        as minimum, median and maximum.
    """
    if not rounds:
        return {}
    feed = input_feed(files['onnx'], batch)
    table = {}
    for threads in THREAD_COUNTS:
        seconds = time_onnx(files, threads, rounds, feed=feed)
        ratios = {name: speedups(seconds, name)['onnx'].as_dict()
                  for name in files if name != 'onnx'}
        table[str(threads or os.cpu_count())] = {
            'ms': {name: Spread.of(values).scaled(1e3).as_dict()
                   for name, values in seconds.items()},
            'speedup': ratios}
    return table


def require_faster(latency: Mapping[str, Mapping]) -> None:
    """Refuse a result that is slower than its parent on one thread.

    The parent is the file given by the user, else the float file of the same structure.

    Raises:
        DeployError: If the median of the speed-ups is below 1.
    """
    ratios = latency.get('1', {}).get('speedup', {})
    for name in ('parent', 'float'):
        if name in ratios:
            ratio = Spread(**ratios[name])
            if ratio.median < 1:
                raise DeployError(
                    f'the deployed file is slower than its {name}: speed-up {ratio:.2f} (min / '
                    'median / max) on one thread; nothing was written. Choose other widths or '
                    'bits (tools/analysis/divisor_sweep.py), or accept it with --force')
            return
