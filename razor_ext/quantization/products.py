"""Products of two activations, as attention has them: quantized where a module multiplies.

A module's `forward` stays as it is. While it runs, its calls of matmul, bmm and @ are seen as
PyTorch functions, and both operands of each are put on a grid; `F.scaled_dot_product_attention` is
computed step by step, whose two products are such calls. Grids belong to calls by their order; they
are ordinary children of the module, so that they are copied, averaged, saved and traced with it.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .layers import QuantLayer

#: Functions that multiply matrices.
MATMULS = frozenset({torch.matmul, torch.bmm, Tensor.matmul, Tensor.bmm, Tensor.__matmul__})
Multiply = Callable[[Tensor, Tensor], Tensor]


class QuantMatmul(QuantLayer):
    """A layer whose own `forward` multiplies raw tensors.

    Each operand of each call, left before right, is the weight itself or the next of `operands`;
    an attention of PyTorch's is two calls, query by key and weights by value. Calls made inside
    quantized child modules are theirs.
    """

    #: Names of the two sides of the product that runs, None for a float side.
    running_sides: tuple[str | None, str | None] = (None, None)

    @torch.compiler.disable  # it breaks a graph inside the mode, which then sees other calls
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with _Operands(self) as mode:
            output = super().forward(*args, **kwargs)
        mode.finish()
        return output

    def multiply(self, left: Tensor, right: Tensor, names: tuple[str, str],
                 product: Multiply = torch.matmul) -> Tensor:
        """Return the product of two operands on their grids, under the names of the operands."""
        operands = [self.quantize_weight() if name == 'weight' else self.quantize_operand(name, x)
                    for name, x in zip(names, (left, right))]
        self.running_sides = names
        try:
            # A layer around this one must not take the call for one of its own.
            with torch._C.DisableTorchFunction():
                return product(*operands)
        finally:
            self.running_sides = (None, None)


class QuantProducts(QuantMatmul):
    """A module found to multiply activations (`find_products`); its type need not be registered.

    Raw products with parameters stay float.
    """

    weight_name = None
    since = 2


@functools.cache
def products_type(count: int) -> type[QuantProducts]:
    """Return the class for modules with `count` products: operands left0, right0, left1, ..."""
    operands = tuple(f'{side}{i}' for i in range(count) for side in ('left', 'right'))
    return type('QuantProducts', (QuantProducts,), {'operands': operands,
                                                    '__module__': __name__})


def products_in(operands: list[str]) -> int:
    """Return how many products a list of operand names is of, 0 if it is of another layer."""
    count = len(operands) // 2
    return count if tuple(operands) == products_type(count).operands else 0


class _Operands(TorchFunctionMode):
    """Quantizes the operands of the products of one forward."""

    def __init__(self, layer: QuantMatmul) -> None:
        super().__init__()
        self.layer = layer
        self.sides: list[str] = []
        self.activations = iter(layer.operands)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return attend(self._multiply, *args, **kwargs)[0]
        if func in MATMULS and self._counts(operands := matmul_operands(args, kwargs)):
            return self._multiply(*operands, product=func)
        return func(*args, **kwargs)

    def _counts(self, operands: tuple[Tensor, Tensor]) -> bool:
        return (not isinstance(self.layer, QuantProducts)
                or not any(is_parameter(self.layer, x) for x in operands))

    def _multiply(self, left: Tensor, right: Tensor, product: Multiply = torch.matmul) -> Tensor:
        return self.layer.multiply(left, right, (self._name(left), self._name(right)), product)

    def _name(self, operand: Tensor) -> str:
        layer = self.layer
        if layer.weight_name is not None and operand is layer.weight_of(layer):
            name: str | None = 'weight'
        else:
            name = next(self.activations, None)
        if name is None:
            raise self._mismatch('more')
        self.sides.append(name)
        return name

    def finish(self) -> None:
        """Every declared operand must have been seen."""
        if next(self.activations, None) is not None:
            raise self._mismatch('fewer')

    def _mismatch(self, difference: str) -> RuntimeError:
        layer = self.layer
        advice = ('its forward multiplies otherwise than on the example inputs, or a child does; '
                  'leave it float by float_layers' if isinstance(layer, QuantProducts) else
                  'set `operands` to name each activation operand of its matmul and bmm calls, in '
                  'order')
        return RuntimeError(f'{type(layer).__name__} multiplied {difference} activations than its '
                            f'operands {layer.operands} (saw {self.sides}); {advice}')


def matmul_operands(args: tuple, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return the two factors of a call of one of `MATMULS`."""
    left, right, *_ = (*args, *(kwargs[key] for key in ('input', 'other', 'mat2') if key in kwargs))
    return left, right


def is_parameter(module: nn.Module, x: Tensor) -> bool:
    """Return whether a tensor is a parameter of a module or a view of one."""
    return any(x is p or x._base is p for p in module.parameters())


def attend(multiply: Multiply, query: Tensor, key: Tensor, value: Tensor,
           attn_mask: Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False,
           scale: float | None = None, enable_gqa: bool = False) -> tuple[Tensor, Tensor]:
    """Compute `F.scaled_dot_product_attention`, whose arguments follow `multiply`, step by step.

    Scale, mask, softmax and dropout stay in floating point between the two products.

    Args:
        multiply: multiplies query by transposed key, then weights by value.
        query, key, value: ``[..., heads, L, E]``, ``[..., heads, S, E]``, ``[..., heads, S, F]``.
        attn_mask: what may be attended to (bool), or what is added to the scores.
        dropout_p: share of the weights that is dropped.
        is_causal: whether position i sees positions up to i alone.
        scale: factor of the scores, None for 1 / sqrt(E).
        enable_gqa: whether several heads of the query share one of key and value.

    Returns:
        The output ``[..., heads, L, F]`` and the softmax ``[..., heads, L, S]``.
    """
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(groups, -3) for x in (key, value))
    if scale is None:
        scale = query.shape[-1] ** -0.5
    scores = multiply(query, key.transpose(-2, -1)) * scale
    if is_causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        attn_mask = seen if attn_mask is None else attn_mask
    if attn_mask is None:
        weights = scores.softmax(-1)
    else:
        scores = (scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool
                  else scores + attn_mask)
        # Where nothing may be seen PyTorch's attention gives zeros.
        blind = (scores == -math.inf).all(-1, keepdim=True)
        weights = scores.masked_fill(blind, 0).softmax(-1).masked_fill(blind, 0)
    if not dropout_p:
        return multiply(weights, value), weights
    # The grid is that of the softmax: what dropout leaves is scaled behind the product.
    kept = F.dropout(torch.ones_like(weights), dropout_p) != 0
    return multiply(weights * kept, value) / (1 - dropout_p), weights
