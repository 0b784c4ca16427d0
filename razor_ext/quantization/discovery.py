"""Find the modules of a model that multiply activations."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from razor_ext.attention import no_fused_attention

from .calibration import run_batch
from .products import MATMULS, is_parameter, matmul_operands


class _Products(TorchFunctionMode):
    """Counts the products of activations of each call of each module."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        #: Name and products of the calls that are running, the innermost last.
        self.running: list[list] = [['', 0]]
        self.counts: dict[str, set[int]] = defaultdict(set)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self.running[-1][1] += 2
        elif func in MATMULS and not any(is_parameter(self.model, x)
                                         for x in matmul_operands(args, kwargs)):
            self.running[-1][1] += 1
        return func(*args, **kwargs)

    def leave(self) -> None:
        """The innermost call has ended."""
        name, count = self.running.pop()
        self.counts[name].add(count)


def find_products(model: nn.Module, example_inputs: Any,
                  run: Callable[[nn.Module, Any], Any] = run_batch) -> dict[str, int]:
    """Run a float model once and see which modules multiply activations in their own forward.

    Args:
        model: the model; its state, its modes and PyTorch's random numbers stay.
        example_inputs: a tensor, a sequence of positional or a mapping of keyword arguments.
        run: how to run the model on them.

    Returns:
        Module name to the products of one call, in order of registration; 0 where its calls
        multiply differently.
    """
    training = [(module, module.training) for module in model.modules()]
    products, hooks = _Products(model), []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(
            lambda *_, name=name: products.running.append([name, 0])))
        hooks.append(module.register_forward_hook(lambda *_: products.leave()))
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(), no_fused_attention(), products:
            run(model, example_inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training:
            module.training = mode
    found = {name: counts.pop() if len(counts) == 1 else 0
             for name, counts in products.counts.items() if counts != {0}}
    return {name: found[name] for name, _ in model.named_modules() if name in found}
