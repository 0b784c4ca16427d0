"""Quantized layers: the float layer itself, its class swapped for one that quantizes its operands.

The module object, its parameters and their names, its hooks, attributes and device stay; only
quantizers are added, as children named `weight_quantizer` and `<operand>_quantizer`. Whatever tests
`isinstance(module, nn.Conv2d)`, slices parameters by name or loads a float state dict still works.

A new layer type takes one decorated class. Its `forward` runs on a module of the float type:

    @register_quant_layer(StackedLinear)             # weight [parts, in, out]
    class QuantStackedLinear(QuantMatmul):
        weight_channel_dim = 2

    @register_quant_layer(GatedUnit)                # two raw matmuls, no weight of its own
    class QuantGatedUnit(QuantMatmul):
        weight_name = None
        operands = ('query', 'key', 'kernel', 'value')
"""
from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Callable, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from .quantizer import Quantizer

#: Float layer type -> the class that quantizes it.
QUANT_LAYERS: dict[type[nn.Module], type[QuantLayer]] = {}


# A quantized layer is a module by the float type that it is mixed into.
if TYPE_CHECKING:
    _Module = nn.Module
else:
    _Module = object


class QuantLayer(_Module):
    """Mixed in before a float layer type; subclasses say what is quantized and how it runs."""

    #: Parameter that is the weight, None if there is none.
    weight_name: ClassVar[str | None] = 'weight'
    #: Dimension of the weight that holds the output channels.
    weight_channel_dim: ClassVar[int] = 0
    #: Names of the activations that are quantized.
    operands: ClassVar[tuple[str, ...]] = ('input',)
    #: Equal parts of the weight's output channels that may be used one by one.
    weight_parts: ClassVar[int] = 1
    #: Version of quant.json that first knew the type; older files say nothing of it.
    since: ClassVar[int] = 1
    #: Type to return to.
    float_type: ClassVar[type[nn.Module]]

    @classmethod
    def over(cls, float_type: Any) -> type:
        """Return the class that quantizes another float type as this one does."""
        quant_type: Any = cls.__bases__[0]
        return swapped_type(quant_type, float_type)

    @classmethod
    def refuse(cls, module: nn.Module) -> str | None:
        """Return why this module of a registered type cannot be quantized, None if it can."""
        return None

    @classmethod
    def called_children(cls, module: nn.Module) -> tuple[nn.Module, ...]:
        """Return the children that the quantized form calls where the float one reads them."""
        return ()

    @classmethod
    def weight_of(cls, module: nn.Module) -> nn.Parameter:
        """Return the weight of a module of the float type or of this one.

        Raises:
            TypeError: the type has no weight of its own.
        """
        if cls.weight_name is None:
            raise TypeError(f'{cls.__name__} has no weight')
        return getattr(module, cls.weight_name)

    def _quantizer(self, name: str) -> Quantizer | None:
        found = self._modules.get(f'{name}_quantizer')
        return found if isinstance(found, Quantizer) else None

    @property
    def weight_quantizer_or_none(self) -> Quantizer | None:
        """The weight's quantizer, None where weights stay float."""
        return self._quantizer('weight')

    def operand_quantizers(self) -> dict[str, Quantizer]:
        """Return the activation quantizers by operand name; empty where inputs stay float."""
        found = {name: self._quantizer(name) for name in self.operands}
        return {name: quantizer for name, quantizer in found.items() if quantizer is not None}

    def quantizers(self) -> dict[str, Quantizer]:
        """Return the quantizers by side, 'weight' or an operand."""
        weight = self.weight_quantizer_or_none
        return {**({} if weight is None else {'weight': weight}), **self.operand_quantizers()}

    @classmethod
    def product_operands(cls) -> tuple[str, ...]:
        """Return the operands that are multiplied by one another, left and right in turn.

        The others are multiplied by the weight.
        """
        return cls.operands[1:] if cls.weight_name is not None else cls.operands

    def quantize_weight(self) -> Tensor:
        """Return the weight on its grid."""
        weight, quantizer = self.weight_of(self), self.weight_quantizer_or_none
        return weight if quantizer is None else quantizer(weight)

    def quantize_operand(self, name: str, x: Tensor) -> Tensor:
        """Return an activation on its grid."""
        quantizer = self._quantizer(name)
        return x if quantizer is None else quantizer(x)


def register_quant_layer(*float_types: type[nn.Module]) -> Callable:
    """Register the decorated `QuantLayer` for float layer types.

    Raises:
        ValueError: the class is no QuantLayer, or a type is taken.
    """
    def register(quant_type: type[QuantLayer]) -> type[QuantLayer]:
        if not issubclass(quant_type, QuantLayer):
            raise ValueError(f'{quant_type.__name__} is no QuantLayer')
        for float_type in float_types:
            taken = QUANT_LAYERS.setdefault(float_type, quant_type)
            if taken is not quant_type:
                raise ValueError(f'{float_type.__name__} is already registered to {taken.__name__}')
        return quant_type
    return register


def quant_type_of(float_type: type[nn.Module]) -> type[QuantLayer] | None:
    """Return the registered class for a type, or for the base whose `forward` it inherits."""
    # What was sliced keeps the forward pass of its type, but for sizes.
    float_type = getattr(float_type, 'plain_type', float_type)
    for base in float_type.__mro__:
        if base in QUANT_LAYERS:
            return QUANT_LAYERS[base] if float_type.forward is base.forward else None
    return None


def type_name(float_type: type[nn.Module]) -> str:
    """Return the name of a layer's type; of one that was sliced, that of the type before."""
    return getattr(float_type, 'plain_type', float_type).__name__


@functools.cache
def swapped_type(quant_type: type[QuantLayer], float_type: type[nn.Module]) -> type:
    """Return the class that is both."""
    name = f'Quant{float_type.__name__}'
    return type(name, (quant_type, float_type), {'float_type': float_type,
                                                 '__module__': quant_type.__module__})


@register_quant_layer(nn.Linear)
class QuantLinear(QuantLayer):
    """Linear."""

    bias: Tensor | None

    @classmethod
    def refuse(cls, module: nn.Module) -> str | None:
        if isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
            return 'nn.MultiheadAttention reads its weight without calling it'
        return None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.quantize_operand('input', x), self.quantize_weight(), self.bias)


@register_quant_layer(nn.Conv1d, nn.Conv2d, nn.Conv3d)
class QuantConv(QuantLayer):
    """Convolution with any padding mode: zero is on every grid, so padding stays exact."""

    bias: Tensor | None
    _conv_forward: Callable[..., Tensor]

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(self.quantize_operand('input', x), self.quantize_weight(),
                                  self.bias)


_CONV_TRANSPOSE: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@register_quant_layer(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
class QuantConvTranspose(QuantLayer):
    """Transposed convolution; scales per channel follow dimension 1, the outputs of one group."""

    weight_channel_dim = 1
    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    kernel_size: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    _output_padding: Callable[..., list[int]]

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        dims = self.weight.dim() - 2
        padding = self._output_padding(x, output_size, self.stride, self.padding, self.kernel_size,
                                       dims, self.dilation)
        return _CONV_TRANSPOSE[dims](
            self.quantize_operand('input', x), self.quantize_weight(), self.bias, self.stride,
            self.padding, padding, self.groups, self.dilation)


@register_quant_layer(nn.Embedding)
class QuantEmbedding(QuantLayer):
    """A table whose rows are looked up; steps per channel are one per row.

    It shares the quantizer of a linear layer that it shares its weight with.
    """

    operands = ()
    since = 2
    weight: Tensor
    padding_idx: int | None
    scale_grad_by_freq: bool

    @classmethod
    def refuse(cls, module: nn.Module) -> str | None:
        if module.max_norm is not None:
            return 'max_norm rescales the rows that it reads'
        if module.sparse:
            return 'sparse=True wants gradients of single rows'
        return None

    def forward(self, indices: Tensor) -> Tensor:
        return F.embedding(indices, self.quantize_weight(), self.padding_idx,
                           scale_grad_by_freq=self.scale_grad_by_freq)
