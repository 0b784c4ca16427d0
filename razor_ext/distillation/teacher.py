"""The dense model that a compressed one learns from."""
from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Teacher:
    """A frozen copy of the dense model, outside the model that trains.

    Checkpoints, averages and optimizers do not see it: it comes from the dense checkpoint in every
    run, resumed ones too.

    Args:
        model: the dense model.
        copied: whether `model` is used otherwise.
    """

    def __init__(self, model: nn.Module, copied: bool = True) -> None:
        self.model = (copy.deepcopy(model) if copied else model).requires_grad_(False).eval()

    def __deepcopy__(self, memo: dict) -> Teacher:
        return self

    def on(self, device: torch.device) -> Any:
        """Return the model on a device."""
        first = next(self.model.parameters(), None)
        if first is not None and first.device != device:
            self.model.to(device)
        return self.model
