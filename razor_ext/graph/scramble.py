"""The scene of a proof: random weights and inputs in float64, and an untouched random state."""
from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from .data import GraphData
from .norms import mask_aware
from .stand_ins import exposed
from .structure import structure_copy


@contextlib.contextmanager
def untouched_rng() -> Iterator[None]:
    """Leave every random state as it was."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield


class AllDouble(TorchFunctionMode):
    """Leaves out the casts to float32 that models make, and makes new tensors in float64."""

    def __enter__(self) -> Any:
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.set_default_dtype(self._before)

    def __torch_function__(self, func: Any, types: Any, args: tuple = (),
                           kwargs: dict | None = None) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(torch.float64 if arg is torch.float32 else arg for arg in args)
        return func(*args, **{key: torch.float64 if value is torch.float32 else value
                              for key, value in (kwargs or {}).items()})


def scrambled(model: nn.Module, seed: int) -> nn.Module:
    """Copy a model to float64 with random weights, so that no channel is idle by initialisation.

    Its norms are mask-aware, with all channels kept, and stand-ins are in place.
    """
    clone = exposed(copy.deepcopy(structure_copy(model)).double())
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor: torch.Tensor) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype).to(tensor.device)

    with torch.no_grad():
        for tensor in clone.parameters():
            if not tensor.is_floating_point():
                continue
            fan_in = math.prod(tensor.shape[1:]) if tensor.dim() > 1 else 1
            tensor.add_(noise(tensor) * (0.1 if tensor.dim() < 2 else 0.5 / math.sqrt(fan_in)))
        for norm in mask_aware(clone):
            norm.kept_channels.fill_(1)
        for module in clone.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats:
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.add_(0.1 * noise(module.running_mean))
                module.running_var.mul_(0.75 + 0.5 * torch.sigmoid(noise(module.running_var)))
    return clone


def double_inputs(graph: GraphData, device: torch.device | None) -> tuple[tuple, dict[str, Any]]:
    """Return the example inputs in float64, constant ones replaced by random numbers."""
    generator = torch.Generator().manual_seed(0)

    def convert(item: Any) -> Any:
        if not isinstance(item, torch.Tensor):
            return item
        if not item.is_floating_point():
            return item.to(device)
        item = item.double()
        if item.numel() > 1 and bool((item == item.reshape(-1)[0]).all()):
            item = torch.randn(item.shape, generator=generator, dtype=torch.float64)
        return item.to(device)

    return pytree.tree_map(convert, (graph.args, graph.kwargs))
