"""MACs, parameters, bytes and bit operations per layer, from one forward pass.

Products are seen as ATen operators, so raw matmuls and attention count like any layer; each is
credited to the innermost module that runs it. BOPs = MACs * b_w * b_a with 32 bits for a float
side, and relative BOPs divide by the MACs * 1024 of the float model (GETA, arXiv:2502.16638).
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from razor_ext.attention import no_fused_attention

from .calibration import run_batch
from .convert import float_mode
from .layers import QuantLayer
from .products import QuantMatmul
from .quantizer import Quantizer

FLOAT_BITS = 32
_aten = torch.ops.aten


def _convolution(out: Any, x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any,
                 dilation: Any, transposed: bool, *rest: Any) -> int:
    return x.numel() * weight[0].numel() if transposed else out.numel() * weight[0].numel()


def _mm(out: Any, a: Tensor, b: Tensor, *rest: Any, **options: Any) -> int:
    return out.numel() * a.shape[-1]


def _addmm(out: Any, bias: Tensor, a: Tensor, b: Tensor, *rest: Any, **options: Any) -> int:
    return out.numel() * a.shape[-1]


def _attention(out: Any, q: Tensor, k: Tensor, v: Tensor, *rest: Any, **options: Any) -> int:
    return q.shape[:-1].numel() * k.shape[-2] * (q.shape[-1] + v.shape[-1])


_FORMULAS: dict[str, Callable[..., int]] = {
    'convolution': _convolution, 'mm': _mm, 'bmm': _mm, 'mv': _mm, 'linear': _mm,
    'addmm': _addmm, 'addmv': _addmm, 'baddbmm': _addmm,
    '_scaled_dot_product_flash_attention': _attention,
    '_scaled_dot_product_flash_attention_for_cpu': _attention,
    '_scaled_dot_product_efficient_attention': _attention,
    '_scaled_dot_product_cudnn_attention': _attention,
    '_scaled_dot_product_attention_math': _attention,
}
#: MACs of an operator from its output and arguments; operators that this torch lacks are left out.
MACS = {getattr(_aten, name): formula for name, formula in _FORMULAS.items()
        if hasattr(_aten, name)}


@dataclass
class LayerCost:
    """What one module costs.

    Attributes:
        name: dotted name.
        type: float type of the module.
        products: MACs of each product it ran, with the names of its two quantized sides: 'weight',
            an operand, or None where a side is float.
        params: its own parameters, quantizer scales left out; a shared one counts once.
        bits: present bit width per quantized side (0-d tensors that can be differentiated).
        weight_params: parameters stored at the weight's bit width, of `params`.
    """

    name: str
    type: str
    products: list[tuple[int, str | None, str | None]] = field(default_factory=list)
    params: int = 0
    bits: dict[str, Tensor] = field(default_factory=dict)
    weight_params: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return sum(macs for macs, _, _ in self.products)

    @property
    def bops(self) -> Tensor:
        """Bit operations at the present bit widths: a differentiable scalar."""
        total = torch.zeros((), dtype=torch.float64)
        for macs, left, right in self.products:
            total = total + macs * self._bits(left) * self._bits(right)
        return total

    @property
    def bytes(self) -> float:
        """Parameters in bytes: weights packed at their bit width, the others in float32."""
        bits = self._bits('weight')
        packed = (bits.item() if isinstance(bits, Tensor) else bits) * self.weight_params
        return (packed + FLOAT_BITS * (self.params - self.weight_params)) / 8

    def _bits(self, side: str | None) -> Tensor | float:
        bits = None if side is None else self.bits.get(side)
        return float(FLOAT_BITS) if bits is None else bits.double().cpu()


class _ProductCounter(TorchDispatchMode):
    """Notes MACs and quantized sides of each product, by the module that runs it."""

    def __init__(self, model: nn.Module, owners: list[str]) -> None:
        super().__init__()
        self.modules = dict(model.named_modules())
        self.owners = owners
        self.products: dict[str, list[tuple[int, str | None, str | None]]] = defaultdict(list)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        formula = MACS.get(func._overloadpacket)
        if formula is not None:
            first = out[0] if isinstance(out, (tuple, list)) else out
            name = self.owners[-1]
            self.products[name].append((formula(first, *args, **(kwargs or {})),
                                        *_sides(self.modules[name])))
        return out


def _sides(module: nn.Module) -> tuple[str | None, str | None]:
    """The quantized sides of the product that a module runs."""
    if isinstance(module, QuantMatmul):
        return module.running_sides
    return (module.operands[0], 'weight') if isinstance(module, QuantLayer) else (None, None)


@contextmanager
def _owners(model: nn.Module) -> Iterator[list[str]]:
    """Keep the stack of the modules that are running."""
    stack, hooks = [''], []
    try:
        for name, module in model.named_modules():
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: stack.append(name)))
            hooks.append(module.register_forward_hook(lambda *_: stack.pop() and None))
        yield stack
    finally:
        for hook in hooks:
            hook.remove()


def count_costs(model: nn.Module, example_inputs: Any) -> list[LayerCost]:
    """Count the products and parameters of every module by running the float model once.

    Args:
        model: float or quantized, calibrated or not; its state and training mode stay.
        example_inputs: a tensor, a sequence of positional or a mapping of keyword arguments, with
            a batch of 1 for the usual figures.

    Returns:
        One entry for each module that multiplies or owns parameters, in order of registration.
    """
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with (torch.no_grad(), float_mode(model), no_fused_attention(), _owners(model) as stack,
              _ProductCounter(model, stack) as counter):
            run_batch(model, example_inputs)
    finally:
        for module, mode in training:
            module.training = mode
    costs: list[LayerCost] = []
    counted: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, Quantizer):
            continue
        own = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted.update(map(id, own))
        if own or name in counter.products:
            costs.append(_cost(name, module, own, counter.products.get(name, [])))
    return costs


def _cost(name: str, module: nn.Module, own: list[nn.Parameter],
          products: list[tuple[int, str | None, str | None]]) -> LayerCost:
    cost = LayerCost(name, type(module).__name__, products, sum(p.numel() for p in own))
    if not isinstance(module, QuantLayer):
        return cost
    cost.type = module.float_type.__name__
    cost.bits = {operand: q.bits() for operand, q in module.operand_quantizers().items()}
    weight_quantizer = module.weight_quantizer_or_none
    if weight_quantizer is not None:
        cost.bits['weight'] = weight_quantizer.bits()
        weight = module.weight_of(module)
        cost.weight_params = weight.numel() if any(weight is p for p in own) else 0
    return cost


def summarize_costs(costs: list[LayerCost], dense_macs: float | None = None) -> dict[str, float]:
    """Return the totals.

    Args:
        costs: from `count_costs`.
        dense_macs: MACs of the float model that `relative_bops` refers to; None takes these.

    Returns:
        `macs`, `params`, `bytes`, `bops` and `relative_bops`.
    """
    macs = sum(cost.macs for cost in costs)
    bops = sum(cost.bops.item() for cost in costs)
    return {
        'macs': macs,
        'params': sum(cost.params for cost in costs),
        'bytes': sum(cost.bytes for cost in costs),
        'bops': bops,
        'relative_bops': bops / max((dense_macs or macs) * FLOAT_BITS ** 2, 1),
    }
