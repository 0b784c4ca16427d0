"""Three answers to every integer layer: ONNX Runtime's, plain integer arithmetic's and torch's.

All three get the integers that the exported graph itself feeds the layer, so that the error of one
layer is seen alone.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import nn

from razor_ext.quantization.layers import QuantLayer

from ..errors import ParityError
from ..onnx_graph import has_flag, with_outputs
from ..session import open_session
from .integer_layer import IntegerLayer, QdqModel
from .match import along_axis


@dataclass(frozen=True)
class LayerParity:
    """Largest differences of one layer, in steps of its output.

    A float output is counted in steps of its accumulator: input step times weight step.

    Args:
        layer: Dotted module name.
        integer: ONNX Runtime against integer arithmetic.
        torch: ONNX Runtime against torch's fake quantization; None for a product of activations.
        differing: Share of the outputs that differ from integer arithmetic at all.
    """

    layer: str
    integer: float
    torch: float | None
    differing: float

    def as_dict(self) -> dict[str, float | str | None]:
        """All figures, for a JSON file."""
        return asdict(self)


def integer_layer(layer: IntegerLayer, operands: Sequence[np.ndarray]) -> np.ndarray:
    """Compute a layer on integers alone.

    Products are summed in float64, which holds every sum of fewer than 2^53 exactly; the sum is
    scaled once, at the end.

    Args:
        layer: The layer.
        operands: Stored integers of its activation inputs.

    Returns:
        Stored integers of the output, or real values where the output is float.
    """
    centred = [stored.astype(np.float64) - grid.zero_point
               for stored, (_, grid) in zip(operands, layer.operands)]
    step = np.prod([grid.scale for _, grid in layer.operands])
    if layer.match.node.op_type == 'Conv':
        assert layer.integers is not None and layer.scale is not None  # a convolution has a weight
        total = _convolve(layer.match.node, centred[0], layer.integers.astype(np.float64))
        scale = step * np.broadcast_to(layer.scale, total.shape[1:2]).astype(np.float64)
        if layer.bias is not None:
            total += along_axis(np.rint(layer.bias / scale), 1, total.ndim)
        real = total * along_axis(scale, 1, total.ndim)
    else:
        real = _multiply(layer, centred) * step
    if layer.grid is None:
        return real
    return layer.grid.quantize(real)


def _convolve(node: onnx.NodeProto, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Convolution of any dimension; exact, as all values are integers."""
    options = {item.name: item for item in node.attribute}
    dims = weight.ndim - 2
    ints = {key: list(options[key].ints) if key in options else default for key, default in
            (('strides', [1] * dims), ('dilations', [1] * dims), ('pads', [0] * 2 * dims))}
    groups = options['group'].i if 'group' in options else 1
    x = np.pad(x, [(0, 0), (0, 0), *zip(ints['pads'][:dims], ints['pads'][dims:])])
    convolve = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
    return convolve(torch.from_numpy(x), torch.from_numpy(weight), None, ints['strides'], 0,
                    ints['dilations'], groups).numpy()


def _multiply(layer: IntegerLayer, operands: Sequence[np.ndarray]) -> np.ndarray:
    node = layer.match.node
    if layer.integers is None or layer.scale is None:
        return operands[0] @ operands[1]
    weight = layer.integers * along_axis(layer.scale.astype(np.float64), layer.match.channel_axis,
                                         layer.integers.ndim)
    if has_flag(node, 'transB'):
        weight = weight.T
    product = (operands[0] @ weight if layer.match.operands == (0,) else weight @ operands[0])
    return product if layer.bias is None else product + layer.bias / layer.operands[0][1].scale


def torch_layer(layer: IntegerLayer, module: QuantLayer, operand: np.ndarray) -> np.ndarray:
    """Compute a layer as torch does, with the weight its quantizer gives.

    Values are torch's, in float32; their products are summed in float64, since a sum in float32 is
    off by several steps of the accumulator where a layer reads some thousands of values.

    Args:
        layer: The layer.
        module: The quantized torch layer.
        operand: Stored integers of its input.

    Returns:
        Real values of the output, BatchNorm included where the export folded it.
    """
    match = layer.match
    assert match.factor is not None  # it has a weight
    x = layer.operands[0][1].dequantize(operand).astype(np.float64)
    with torch.no_grad():
        weight = module.quantize_weight().detach().cpu().numpy()
    weight = weight[match.layer.rows or slice(None)].transpose(match.axes)
    weight = (weight * along_axis(match.factor, match.channel_axis, weight.ndim)).astype(np.float64)
    if match.node.op_type == 'Conv':
        real = _convolve(match.node, x, weight)
        return real if layer.bias is None else real + along_axis(layer.bias, 1, real.ndim)
    if has_flag(match.node, 'transB'):
        weight = weight.T
    real = x @ weight if match.operands == (0,) else weight @ x
    return real if layer.bias is None else real + layer.bias


def compare_layers(exported: QdqModel, model: nn.Module,
                   batches: Sequence[Mapping[str, np.ndarray]]) -> list[LayerParity]:
    """Compare every integer layer three ways.

    Args:
        exported: The exported graph.
        model: Quantized torch model it came from, in eval mode.
        batches: Inputs by name.

    Returns:
        One row per layer, the worst over all batches.
    """
    wanted = list(dict.fromkeys(name for layer in exported.integer
                                for name in (layer.output, *(name for name, _ in layer.operands))))
    session = open_session(with_outputs(exported.model, wanted).SerializeToString(), threads=0)
    worst = {index: [0.0, 0.0, 0.0] for index in range(len(exported.integer))}
    for batch in batches:
        values = dict(zip(wanted, session.run(wanted, dict(batch))))
        for index, layer in enumerate(exported.integer):
            row = _compare_layer(layer, model, values)
            worst[index] = [max(pair) for pair in zip(worst[index], row)]
    return [LayerParity(layer.match.layer.name, row[0],
                        None if layer.integers is None else row[1], row[2])
            for layer, row in zip(exported.integer, worst.values())]


def _compare_layer(layer: IntegerLayer, model: nn.Module,
                   values: Mapping[str, np.ndarray]) -> tuple[float, float, float]:
    operands = [values[name] for name, _ in layer.operands]
    got = values[layer.output].astype(np.float64)
    step = 1.0
    if layer.grid is None:
        step = float(np.prod([grid.scale for _, grid in layer.operands]))
        step *= 1.0 if layer.scale is None else float(layer.scale.max())
    reference = np.abs(got - integer_layer(layer, operands)) / step
    by_torch = np.zeros(1)
    if layer.integers is not None:
        module = model.get_submodule(layer.match.layer.name)
        assert isinstance(module, QuantLayer)  # it has grids
        real = torch_layer(layer, module, operands[0])
        by_torch = np.abs(got - (real if layer.grid is None else layer.grid.quantize(real))) / step
    return float(reference.max()), float(by_torch.max()), float((reference > 1e-3).mean())


def require_layers(rows: Sequence[LayerParity], steps: float = 1.0) -> None:
    """Raise unless every layer agrees within `steps` quantization steps.

    Raises:
        ParityError: Naming the worst layer.
    """
    worst = max(rows, key=lambda row: max(row.integer, row.torch or 0), default=None)
    if worst is not None and max(worst.integer, worst.torch or 0) > steps * (1 + 1e-3):
        raise ParityError(
            f'layer {worst.layer!r} differs by {worst.integer:.3g} steps from integer arithmetic '
            f'and by {worst.torch or 0:.3g} from torch, more than {steps:g}')
