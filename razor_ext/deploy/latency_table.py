"""Measured time of single layers on this machine, and the divisors that follow from it.

A table holds what was measured on one machine; its file is named after the machine, and anything
missing is measured when it is asked for.
"""
from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from razor_ext.engine import write_json
from razor_ext.structure.latency import FLOAT, INTEGER, LayerShape, layer_shapes

from .errors import DeployError
from .latency import Spread, time_onnx

CANDIDATES = (1, 2, 4, 8, 16, 32)
#: Channels around the expected width at which a divisor is judged: no power of two apart.
OFFSETS = (-13, -6, 2, 9)
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


def layer_model(shape: LayerShape, bits: int) -> onnx.ModelProto:
    """A network of this layer alone, in float32 (32 bits) or on integers (8 bits and fewer)."""
    generator = np.random.default_rng(0)
    weight = generator.integers(-127, 128, (shape.outputs, shape.inputs // shape.groups,
                                            *shape.kernel))
    pads = [side // 2 for side in shape.kernel] * 2
    options = {'kernel_shape': list(shape.kernel), 'strides': list(shape.stride), 'pads': pads,
               'group': shape.groups}
    if bits > 8:
        kind, tensors = TensorProto.FLOAT, {'w': weight.astype(np.float32) / 127}
        nodes = [helper.make_node('Conv', ['x', 'w'], ['y'], **options)]
    else:
        kind = TensorProto.UINT8
        scale = np.full(shape.outputs, 1e-3, np.float32)
        tensors = {'w': weight.astype(np.int8), 's': scale,
                   'z': np.zeros(shape.outputs, np.int8), 'a': np.float32(0.02),
                   'm': np.uint8(128)}
        nodes = [helper.make_node('DequantizeLinear', ['x', 'a', 'm'], ['xf']),
                 helper.make_node('DequantizeLinear', ['w', 's', 'z'], ['wf'], axis=0),
                 helper.make_node('Conv', ['xf', 'wf'], ['yf'], **options),
                 helper.make_node('QuantizeLinear', ['yf', 'a', 'm'], ['y'])]
    graph = helper.make_graph(
        nodes, 'layer', [helper.make_tensor_value_info('x', kind,
                                                 [shape.batch, shape.inputs, *shape.size])],
        [helper.make_tensor_value_info('y', kind, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)


def measure_layer(shape: LayerShape, bits: int, rounds: int = 40) -> Spread:
    """Milliseconds of one layer on one thread."""
    kind = np.uint8 if bits <= 8 else np.float32
    values = np.random.default_rng(1).integers(0, 256, (shape.batch, shape.inputs, *shape.size))
    feed = {'x': values.astype(kind)}
    seconds = time_onnx({'layer': layer_model(shape, bits).SerializeToString()}, 1, rounds,
                        feed=feed)
    return Spread.of(seconds['layer']).scaled(1e3)


def _key(shape: LayerShape, bits: int) -> str:
    """Entry of a table file."""
    return f'{shape.inputs}>{shape.outputs} {shape.kind} at {bits}'


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
                content = json.loads(self.path.read_text(encoding='utf-8'))
                self._entries = {key: Spread(**value) for key, value in content.items()}
            except (ValueError, TypeError, AttributeError) as error:
                raise DeployError(f'latency table {os.fspath(self.path)!r} is damaged ({error}); '
                                  'delete it to measure again') from error

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


@dataclass(frozen=True)
class UnitLayer:
    """A layer at one end of a channel unit.

    Args:
        shape: The layer as it is.
        inputs: Share of its input channels that belong to the unit.
        outputs: Share of its output channels.
    """

    shape: LayerShape
    inputs: float
    outputs: float

    def at(self, width: int, whole: int) -> LayerShape:
        """The layer when `width` of the unit's `whole` channels are left."""
        inputs, outputs = (
            max(1, round(count * (1 - share) + count * share * width / whole))
            for count, share in ((self.shape.inputs, self.inputs),
                                 (self.shape.outputs, self.outputs)))
        if self.shape.groups > 1:  # depthwise: both ends are the unit's
            return dataclasses.replace(self.shape, inputs=outputs, outputs=outputs, groups=outputs)
        return dataclasses.replace(self.shape, inputs=inputs, outputs=outputs)


def unit_layers(model: nn.Module, units: Sequence,
                forward: Callable[[], object]) -> dict[str, list[UnitLayer]]:
    """Find the convolutions and linear layers at the ends of every unit.

    Args:
        model: Model the units were found in.
        units: ``ChannelGraph.units``.
        forward: Runs the model once on a batch of 1.

    Returns:
        Layers by unit name. Grouped convolutions other than depthwise ones are left out.
    """
    shapes = layer_shapes(model, forward)
    found: dict[str, list[UnitLayer]] = {}
    for unit in units:
        shares: dict[str, dict[int, float]] = {}
        for member in unit.members:
            module, _, parameter = member.name.rpartition('.')
            if parameter == 'weight' and module in shapes and member.dim in (0, 1):
                width = (shapes[module].outputs if member.dim == 0
                         else shapes[module].inputs // shapes[module].groups)
                shares.setdefault(module, {})[member.dim] = member.indices.numel() / width
        found[unit.name] = [UnitLayer(shapes[module], share.get(1, 0.0), share.get(0, 0.0))
                            for module, share in shares.items()]
    return found


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


def choose_divisors(layers: Mapping[str, Sequence[UnitLayer]], widths: Mapping[str, int],
                    table: LatencyTable, bits: int, keep: float = 0.5, tolerance: float = 0.05,
                    candidates: Sequence[int] = CANDIDATES) -> dict[str, int]:
    """Choose the divisor of every unit from measured times.

    Each candidate is judged by the time per channel kept of the layers at the unit's ends, at its
    multiples near a few widths around the one expected. The smallest candidate within `tolerance`
    of the best wins: a small divisor leaves pruning more choice.

    Args:
        layers: From :func:`unit_layers`.
        widths: Channels of every unit.
        table: Times.
        bits: Bit width of the deployed layers.
        keep: Share of channels expected to be kept.
        tolerance: How much slower than the best a smaller divisor may be.
        candidates: Divisors to choose from.

    Returns:
        Divisor by unit name, at most half of the unit, as ``divisor`` of the GETA mutator takes it.

    Raises:
        DeployError: If `keep` is not a share or there is no positive candidate.
    """
    if not 0 < keep <= 1 or not candidates or min(candidates) < 1:
        raise DeployError(f'keep={keep} must be in (0, 1], candidates={list(candidates)} positive')
    chosen = {}
    for name, ends in layers.items():
        whole = widths[name]
        cost = {}
        for divisor in sorted(set(candidates)):
            if not ends or 1 < divisor > whole // 2:  # leave something to prune
                continue
            tried = {min(max(divisor, divisor * round((keep * whole + offset) / divisor)), whole)
                     for offset in OFFSETS}
            cost[divisor] = sum(
                sum(table.milliseconds(end.at(width, whole), bits) for end in ends) / width
                for width in tried) / len(tried)
        best = min(cost.values(), default=0.0)
        chosen[name] = next((divisor for divisor, value in cost.items()
                             if value <= best * (1 + tolerance)), 1)
    return chosen
