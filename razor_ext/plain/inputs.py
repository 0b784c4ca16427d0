"""What a user's loop gives to a model."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def one_input(batch: Any) -> Tensor:
    """Return the tensor of a batch of model inputs.

    Raises:
        ValueError: there is another number of tensors.
    """
    if isinstance(batch, Mapping):
        batch = tuple(batch.values())
    if isinstance(batch, tuple) and len(batch) == 1:
        batch = batch[0]
    if not isinstance(batch, Tensor):
        raise ValueError('an ONNX file is written for models of one tensor, and the inputs are a '
                         f'{type(batch).__name__}: wrap the model in a module that takes one, or '
                         'call finish(onnx=False) and export the model yourself')
    return batch


class SampleCount:
    """Counts the samples of the forward passes in training mode between two steps."""

    def __init__(self) -> None:
        self._count = 0

    def __deepcopy__(self, memo: dict) -> SampleCount:
        # A copy of the model (an average) counts for nothing.
        return SampleCount()

    def watch(self, model: nn.Module) -> None:
        """Count what goes through a model."""
        model.register_forward_pre_hook(self._look, with_kwargs=True)

    def take(self) -> int:
        """Return the samples since the last call, at least 1."""
        count, self._count = max(self._count, 1), 0
        return count

    def _look(self, module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> None:
        if module.training:
            first = next((value for value in (*args, *kwargs.values())
                          if isinstance(value, Tensor) and value.dim()), None)
            self._count += 0 if first is None else len(first)
