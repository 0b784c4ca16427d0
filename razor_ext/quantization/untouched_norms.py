"""Batch norms that have seen no data, whose running statistics say nothing."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

_STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


def untouched_norms(model: nn.Module) -> dict[str, nn.Module]:
    """Return the batch norms by name whose running statistics are still the initial ones."""
    return {name: module for name, module in model.named_modules()
            if isinstance(module, _NormBase) and _is_untouched(module)}


def _is_untouched(norm: _NormBase) -> bool:
    mean, variance, batches = norm.running_mean, norm.running_var, norm.num_batches_tracked
    if mean is None or variance is None or (batches is not None and bool(batches)):
        return False
    return not bool(mean.any()) and bool((variance == 1).all())


@contextmanager
def batch_statistics(norms: list[nn.Module]) -> Iterator[None]:
    """Let norms normalise by the statistics of each batch inside the block, as training does.

    Running statistics stay as they are. A batch of one value per channel has no statistics: there
    a norm takes its running ones.

    Args:
        norms: Batch norms in evaluation mode.
    """
    before = [[(getattr(norm, name), getattr(norm, name).clone()) for name in _STATISTICS
               if getattr(norm, name) is not None] for norm in norms]
    handles = [norm.register_forward_pre_hook(_choose_mode) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            for norm, buffers in zip(norms, before):
                norm.eval()
                for buffer, value in buffers:
                    buffer.copy_(value)


def _choose_mode(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    values = inputs[0].numel() // max(inputs[0].shape[1], 1) if inputs[0].dim() > 1 else 0
    norm.train(values > 1)
