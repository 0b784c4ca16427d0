"""An activation on its way to another one."""
from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from .activations import TARGETS


class MorphedActivation(nn.Module):
    """A mix of two activations, `(1 - mix) * before(x) + mix * after(x)`.

    Args:
        before: the activation of the dense model.
        to: name of what it becomes.
    """

    mix: Tensor
    finished: bool

    def __init__(self, before: nn.Module, to: str) -> None:
        super().__init__()
        self.before, self.becomes = copy.deepcopy(before), to
        for module in self.before.modules():
            if hasattr(module, 'inplace'):
                vars(module)['inplace'] = False  # the input is read twice
        self.after = TARGETS[to]()
        self.register_buffer('mix', torch.ones(()))
        self.finished = True

    def set_mix(self, mix: float) -> None:
        """Set the share of what it becomes, in [0, 1]."""
        if mix == 1 and self.finished:
            return
        self.mix.fill_(mix)
        self.finished = mix == 1

    def follow(self, other: MorphedActivation) -> None:
        """Take the share of another one."""
        self.mix.copy_(other.mix)
        self.finished = other.finished

    def forward(self, x: Tensor) -> Tensor:
        after = self.after(x)
        return after if self.finished else torch.lerp(self.before(x), after, self.mix.to(x.dtype))

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.finished = bool(self.mix == 1)
