"""Measured times of single layers on this machine.

A table holds what was measured on one machine; its file is named after the machine, and anything
missing is measured when it is asked for.
"""
from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import onnxruntime

from razor_ext.engine import write_json
from razor_ext.engine.json_file import read_json
from razor_ext.structure.latency import FLOAT, INTEGER, LayerShape

from ..errors import DeployError
from .single_layers import measure_layer
from .timing import Spread

#: Shares of the widest layer of a kind at which it is measured.
SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)


def hardware_id() -> str:
    """Name of this machine and runtime: processor, cores, ONNX Runtime."""
    model = platform.processor() or platform.machine()
    if Path('/proc/cpuinfo').is_file():
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
        wanted = ('model name', 'flags', 'Features')
        model = '\n'.join(sorted({line for line in lines if line.startswith(wanted)})) or model
    text = f'{model}\n{os.cpu_count()}\n{onnxruntime.__version__}'
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _key(shape: LayerShape, bits: int) -> str:
    """Entry of a table file."""
    return f'{shape.inputs}>{shape.outputs} {shape.kind} at {bits}'


def _spread(**values: float) -> Spread:
    if not all(type(value) in (int, float) and value > 0 for value in values.values()):
        raise ValueError(f'{values!r:.100} are no times')
    return Spread(**values)


class LatencyTable:
    """Times of layers, read from and written to one file per machine.

    Args:
        folder: Where the files are.
        measure: Measures a layer at a bit width.

    Raises:
        DeployError: If the file of this machine is damaged.
    """

    def __init__(self, folder: str | os.PathLike,
                 measure: Callable[[LayerShape, int], Spread] = measure_layer) -> None:
        self.path = Path(folder) / f'{hardware_id()}.json'
        self._measure = measure
        self._entries: dict[str, Spread] = {}
        if self.path.is_file():
            try:
                content = read_json(self.path)
                self._entries = {key: _spread(**value) for key, value in content.items()}
            except (ValueError, TypeError, AttributeError) as error:
                raise DeployError(f'latency table {os.fspath(self.path)!r} is damaged '
                                  f'({str(error)[:200]}); delete it to measure again') from error

    def __len__(self) -> int:
        return len(self._entries)

    def milliseconds(self, shape: LayerShape, bits: int) -> float:
        """Least time of a layer; what other programs add to it is not the layer's."""
        kept = FLOAT if bits > 8 else INTEGER  # narrower integers run in the same kernels
        key = _key(shape, kept)
        if key not in self._entries:
            self._entries[key] = self._measure(shape, kept)
        return self._entries[key].min

    def save(self) -> None:
        """Write the table."""
        write_json(self.path, {key: value.as_dict() for key, value in self._entries.items()})


def measure_kinds(shapes: Iterable[LayerShape], table: LatencyTable, bits: Sequence[int],
                  shares: Sequence[float] = SHARES) -> list[dict]:
    """Measure every kind of layer of a model at a grid of channels.

    Args:
        shapes: Layers of the whole model.
        table: Times.
        bits: Bit widths.
        shares: Shares of the widest layer of a kind to measure at, ascending, the last one 1.

    Returns:
        ``kinds`` of a latency file, see `razor_ext.structure.latency`.
    """
    kinds: dict[str, list[LayerShape]] = {}
    for shape in shapes:
        kinds.setdefault(shape.kind, []).append(shape)
    entries = []
    times: list[float] | list[list[float]]
    for kind, layers in kinds.items():
        inputs, outputs = (_steps(max(getattr(layer, side) for layer in layers), shares)
                           for side in ('inputs', 'outputs'))
        for width in bits:
            if layers[0].depthwise:
                inputs = []
                times = [table.milliseconds(dataclasses.replace(
                    layers[0], inputs=count, outputs=count, groups=count), width)
                    for count in outputs]
            else:
                times = [[table.milliseconds(dataclasses.replace(
                    layers[0], inputs=before, outputs=after), width) for after in outputs]
                    for before in inputs]
            entries.append({'kind': kind, 'bits': width, 'inputs': inputs, 'outputs': outputs,
                            'ms': times})
    return entries


def _steps(widest: int, shares: Sequence[float]) -> list[int]:
    """Channels at shares of the widest, multiples of 8 below it: what pruning leaves mostly."""
    block = 8 if widest >= 16 else 1
    steps = {max(block, block * round(share * widest / block)) for share in shares[:-1]}
    return sorted(step for step in steps if step < widest) + [widest]
