"""Estimated latency of a structure, from times of single layers measured once.

A latency file is plain JSON, written by `tools/analysis/latency_table.py` for one model on one
machine:

    hardware    of the machine and the runtime
    kinds       list of
        kind    what channels do not change: kernel, stride, size of the input, ...
        bits    32 for floats, 8 for integers
        inputs, outputs     channels measured, ascending; no inputs of a depthwise layer
        ms      milliseconds, [inputs][outputs]; [outputs] of a depthwise layer
"""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from razor_ext.engine.json_file import read_json

#: Bits of kernels that are measured.
FLOAT, INTEGER = 32, 8

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class LatencyFileError(ValueError):
    """A latency file that is missing, damaged, or of another model."""


@dataclass(frozen=True)
class LayerShape:
    """A convolution, or a linear layer as one of kernel 1.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Size of the kernel, one number per spatial dimension.
        stride: Stride, likewise.
        groups: Groups; as many as channels for a depthwise convolution.
        size: Size of the input, likewise.
        batch: Inputs at once, as the frames of a sequence are.
    """

    inputs: int
    outputs: int
    kernel: tuple[int, ...] = (1, 1)
    stride: tuple[int, ...] = (1, 1)
    groups: int = 1
    size: tuple[int, ...] = (1, 1)
    batch: int = 1

    @property
    def depthwise(self) -> bool:
        """Whether each channel is convolved by itself."""
        return self.groups > 1

    @property
    def kind(self) -> str:
        """What channels do not change."""
        kernel, stride, size = ('x'.join(map(str, values))
                                for values in (self.kernel, self.stride, self.size))
        return (f'k{kernel} s{stride} {"depthwise " if self.depthwise else ""}on {size}'
                + (f' of {self.batch}' if self.batch > 1 else ''))


def layer_shapes(model: nn.Module, forward: Callable[[], object]) -> dict[str, LayerShape]:
    """Shapes of the convolutions and linear layers that a forward runs.

    Args:
        model: Any model.
        forward: Runs it once.

    Returns:
        Shape by module name. Transposed and grouped convolutions other than depthwise ones are
        left out.
    """
    shapes: dict[str, LayerShape] = {}

    def record(name: str) -> Callable[[nn.Module, tuple], None]:
        return lambda module, inputs: shapes.__setitem__(name, _shape(module, inputs[0]))

    handles = [module.register_forward_pre_hook(record(name))
               for name, module in model.named_modules() if _is_measured(module)]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _is_measured(module: nn.Module) -> bool:
    if isinstance(module, _CONVOLUTIONS):
        return module.groups in (1, module.in_channels)
    return isinstance(module, nn.Linear)


def _shape(module: nn.Module, x: Tensor) -> LayerShape:
    if isinstance(module, nn.Linear):
        return LayerShape(module.in_features, module.out_features,
                          size=(x.numel() // module.in_features, 1))
    assert isinstance(module, _CONVOLUTIONS)  # nothing else is measured
    return LayerShape(module.in_channels, module.out_channels, tuple(module.kernel_size),
                      tuple(module.stride), module.groups, tuple(x.shape[2:]), x.shape[0])


class LayerTimes:
    """Interpolates a latency file.

    Measured times jitter, and a search needs that fewer channels never cost more: a time counts at
    least as much as every one measured at fewer channels. In between it is linear.

    Args:
        path: Latency file.

    Raises:
        LatencyFileError: It is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = os.fspath(path)
        self._grids: dict[tuple[str, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        if not Path(path).is_file():
            raise LatencyFileError(f'latency file {self.path!r} does not exist; '
                                   'tools/analysis/latency_table.py measures one')
        try:
            content = read_json(path)
            for entry in content['kinds']:
                self._grids[entry['kind'], entry['bits']] = _grid(entry)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise LatencyFileError(f'latency file {self.path!r} is damaged ({error!r:.300}); '
                                   'measure it again with tools/analysis/latency_table.py'
                                   ) from error

    def milliseconds(self, shape: LayerShape, bits: int, inputs: float, outputs: float) -> float:
        """Time of a layer.

        Args:
            shape: The layer, with any channels.
            bits: `FLOAT` or `INTEGER`.
            inputs: Input channels.
            outputs: Output channels.

        Raises:
            LatencyFileError: No layer of the kind was measured, or none so wide.
        """
        if (shape.kind, bits) not in self._grids:
            raise LatencyFileError(
                f'latency file {self.path!r} has no layer {shape.kind!r} at {bits} bits: it is of '
                'another model or input size; measure this one with '
                'tools/analysis/latency_table.py')
        rows, columns, times = self._grids[shape.kind, bits]
        if outputs > columns[-1] or (rows.size and inputs > rows[-1]):
            raise LatencyFileError(
                f'latency file {self.path!r} has no layer {shape.kind!r} as wide as {inputs:g} '
                f'input and {outputs:g} output channels; measure this model with '
                'tools/analysis/latency_table.py')
        along = [np.interp(outputs, columns, row) for row in times]
        return float(np.interp(inputs, rows, along) if rows.size else along[0])


def _grid(entry: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = (np.asarray(entry[key], float) for key in ('inputs', 'outputs'))
    times = np.atleast_2d(np.asarray(entry['ms'], float))
    rising = columns.size and all((np.diff(axis) > 0).all() for axis in (rows, columns))
    if (times.shape != (max(rows.size, 1), columns.size) or not rising
            or not (np.isfinite(times) & (times > 0)).all()):
        raise ValueError(f'{entry["kind"]!r} needs a positive time for every pair of ascending '
                         'inputs and outputs')
    return rows, columns, np.maximum.accumulate(np.maximum.accumulate(times, 0), 1)


@dataclass(frozen=True)
class _Layer:
    shape: LayerShape
    bits: int
    inputs: Mapping[str, float]
    outputs: Mapping[str, float]


class LatencyCost:
    """Estimated latency as a function of channels kept: the sum of all layers' times.

    What runs between them (activations, sums, products of attention) is not counted.

    Args:
        units: Units of the dependency graph.
        shapes: Layers of the whole model, of :func:`layer_shapes`.
        times: Measured times.
        bits: `FLOAT` or `INTEGER` of each layer; a layer that is not named is float.

    Raises:
        LatencyFileError: A layer was not measured.
    """

    def __init__(self, units: Sequence[Any], shapes: Mapping[str, LayerShape], times: LayerTimes,
                 bits: Mapping[str, int]) -> None:
        self._times = times
        self._sizes = {unit.name: unit.num_channels for unit in units}
        owned: dict[tuple[str, int], dict[str, float]] = {}
        for unit in units:
            for member in unit.members:
                slot = owned.setdefault((member.name, member.dim), {})
                share = member.indices.numel() / unit.num_channels
                slot[unit.name] = slot.get(unit.name, 0) + share
        self._layers = [_Layer(shape, bits.get(name, FLOAT), owned.get((f'{name}.weight', 1), {}),
                               owned.get((f'{name}.weight', 0), {}))
                        for name, shape in shapes.items()]
        self(self._sizes)

    def __call__(self, counts: Mapping[str, int]) -> float:
        """Milliseconds with `counts` channels kept of each unit; one not named is whole."""
        lost = {name: size - counts.get(name, size) for name, size in self._sizes.items()}
        total = 0.0
        for layer in self._layers:
            inputs, outputs = (whole - sum(share * lost[unit] for unit, share in of.items())
                               for whole, of in ((layer.shape.inputs, layer.inputs),
                                                 (layer.shape.outputs, layer.outputs)))
            if layer.shape.depthwise:
                inputs = outputs
            total += self._times.milliseconds(layer.shape, layer.bits, inputs, outputs)
        return total
