"""The integer grids of a quantized torch model, as an ONNX graph stores them."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from razor_ext.quantization import Quantizer, QuantLayer, integer_weights, quantized_layers

from ..errors import DeployError


@dataclass(frozen=True)
class Grid:
    """An activation grid: real value = scale * (stored - zero_point).

    Args:
        scale: Step.
        zero_point: Stored integer of zero.
        low: Smallest stored integer in use.
        high: Largest stored integer in use.
        container: Type stored: ``uint8`` or ``uint16``.
    """

    scale: float
    zero_point: int
    low: int
    high: int
    container: str = 'uint8'

    @classmethod
    def of_bits(cls, scale: float, zero_point: int, bits: int, signed: bool) -> Grid:
        """Grid of `bits`; a signed one is shifted to the middle of its container."""
        container = 'uint8' if bits <= 8 else 'uint16'
        if not signed:
            return cls(scale, zero_point, 0, 2 ** bits - 1, container)
        middle, reach = (128 if bits <= 8 else 32768), 2 ** (bits - 1) - 1
        return cls(scale, middle, middle - reach, middle + reach, container)

    @classmethod
    def of_range(cls, low: float, high: float) -> Grid:
        """Whole ``uint8`` grid over [low, high], widened to hold zero."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / 255, 1e-8)
        return cls(scale, round(-low / scale), 0, 255)

    @property
    def fills_container(self) -> bool:
        """Whether the container's own limits are the grid's."""
        return self.low == 0 and self.high == np.iinfo(self.container).max

    @property
    def is_integer(self) -> bool:
        """Whether integer kernels exist for it."""
        return self.container == 'uint8'

    def replaces(self, other: Grid) -> bool:
        """Whether it has steps as fine as another grid, over its whole range, to 2 %."""
        low, high = ((limit - other.zero_point) * other.scale for limit in (other.low, other.high))
        reach = 1.02 * self.scale
        return (self.scale <= 1.02 * other.scale
                and (self.low - self.zero_point) * reach <= low
                and (self.high - self.zero_point) * reach >= high)

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Stored integers of real values; halves round to even, as in ONNX."""
        stored = np.rint(np.asarray(x, np.float32) / np.float32(self.scale)) + self.zero_point
        return np.clip(stored, self.low, self.high).astype(self.container)

    def dequantize(self, stored: np.ndarray) -> np.ndarray:
        """Real values of stored integers."""
        return (stored.astype(np.int32) - self.zero_point).astype(np.float32) * np.float32(
            self.scale)


@dataclass(frozen=True)
class LayerGrids:
    """One quantized torch layer.

    Args:
        name: Dotted module name.
        weight: Float weight, None where the layer has none.
        integers: Integers of the weight, None where it stays float.
        step: Step of these integers, broadcasting with them.
        inputs: Grid of each activation operand, None where it stays float.
        refused: Why the backend cannot run it in integers, if so.
        operands: Names of the activation operands.
        parts: Equal parts of the output channels that a graph may use one by one.
        rows: Output channels of the module's weight that these are, None for all.
    """

    name: str
    weight: np.ndarray | None
    integers: np.ndarray | None
    step: np.ndarray | None
    inputs: tuple[Grid | None, ...]
    refused: str | None = None
    operands: tuple[str, ...] = ()
    parts: int = 1
    rows: slice | None = None

    def part(self, first: int, last: int) -> LayerGrids:
        """Some of the parts, from `first` to before `last`."""
        assert self.weight is not None  # it has parts
        size = len(self.weight) // self.parts
        rows = slice(first * size, last * size)
        weight, integers, step = (
            None if x is None else x if len(x) == 1 else x[rows]
            for x in (self.weight, self.integers, self.step))
        return replace(self, weight=weight, integers=integers, step=step, parts=1, rows=rows)


def activation_grid(quantizer: Quantizer) -> Grid:
    """Grid of a calibrated activation quantizer whose exponent is 1."""
    return Grid.of_bits(quantizer.d.detach().item(), int(quantizer.zero_point),
                        _whole_bits(quantizer), quantizer.scheme == 'signed')


def _whole_bits(quantizer: Quantizer) -> int:
    if quantizer.fixed_bits is None:
        raise DeployError(f'{quantizer.name} is not bound to a whole bit width; call '
                          'razor_ext.quantization.fix_bits(model) first')
    return quantizer.fixed_bits


@torch.no_grad()
def layer_grids(model: nn.Module) -> list[LayerGrids]:
    """Read the grids of a quantized, calibrated model.

    Args:
        model: Model after ``apply_quant``, or after ``quantize_model`` and ``fix_bits``.

    Returns:
        One entry per quantized weight and one per layer with products of activations, in the order
        of registration.

    Raises:
        DeployError: If a bit width is not whole yet.
    """
    layers = []
    for name, module in quantized_layers(model):
        products = module.product_operands()
        if module.weight_name is not None:
            layers.append(_with_weight(name, module))
        if products:
            inputs, refused = _inputs(module, products)
            layers.append(LayerGrids(name, None, None, None, inputs, refused, products))
    return layers


def _with_weight(name: str, module: QuantLayer) -> LayerGrids:
    quantizer = module.weight_quantizer_or_none
    integers = step = None
    inputs, refused = _inputs(module, module.operands[:1])
    if quantizer is not None:
        integers, step = (tensor.cpu().numpy() for tensor in integer_weights(module))
        if _whole_bits(quantizer) > 8:
            refused = 'weights of more than 8 bits'
    else:
        refused = 'weights stay float'
    if not module.operands:
        refused = refused or 'rows are looked up, nothing is multiplied'
    return LayerGrids(name, module.weight_of(module).detach().cpu().numpy(), integers, step, inputs,
                      refused, module.operands[:1], module.weight_parts)


def _inputs(module: QuantLayer, names: Sequence[str],
            ) -> tuple[tuple[Grid | None, ...], str | None]:
    """Grids of some operands, and why they have no integer form, if so."""
    operands, refused = module.operand_quantizers(), None
    inputs: list[Grid | None] = []
    for operand in names:
        found = operands.get(operand)
        if found is not None and found.t is not None:
            refused = 'an activation exponent has no integer form'
            found = None
        inputs.append(None if found is None else activation_grid(found))
        if inputs[-1] is None:
            refused = refused or 'inputs stay float'
        elif not inputs[-1].is_integer:
            refused = refused or 'activations of more than 8 bits'
    return tuple(inputs), refused
