"""Blocks that split their channels in halves and shuffle them: ShuffleNetV2's.

A shuffle moves channels without mixing them, so that the half of a block which is passed on may
lose other channels than the half that is computed. The halves then differ in size, and what is left
of the shuffle is a list of positions.
"""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .fixers import Kept, register_fixer
from .norms import KEPT
from .stand_ins import ORDER, StandIn, register_stand_in


@register_stand_in('mmpose.models.backbones.shufflenet_v2.InvertedResidual',
                   'mmpretrain.models.backbones.shufflenet_v2.InvertedResidual')
class ShuffledResidual(StandIn):
    """ShuffleNetV2's block with halves of any size and the shuffle as positions."""

    stride: int
    branch1: Any
    branch2: Any
    channel_order: Tensor

    def prepare(self) -> None:
        """Note where the halves meet, and the order of the channels."""
        half = self.branch2[-1].conv.out_channels
        order = torch.arange(2 * half, device=self.branch2[-1].conv.weight.device)
        self.split = half
        self.register_buffer(ORDER, order.view(2, half).t().reshape(-1))

    def leave(self) -> None:
        """Undo `prepare`."""
        del self.split, self._buffers[ORDER]

    def expose(self) -> None:
        """Let the graph know which channels come in, of which half have no other parameter."""
        if self.stride == 1:
            weight = self.branch2[0].conv.weight
            self.register_buffer(KEPT, weight.new_ones(self.split + weight.shape[1]))

    def conceal(self) -> None:
        """Undo `expose`."""
        self._buffers.pop(KEPT, None)

    def forward(self, x: Tensor) -> Tensor:
        """Compute one half, or both branches where the block halves the resolution."""
        if self.stride > 1:
            out = torch.cat((self.branch1(x), self.branch2(x)), 1)
        else:
            kept = self._buffers.get(KEPT)
            x = x if kept is None else x * kept.view(1, -1, 1, 1)
            out = torch.cat((x[:, :self.split], self.branch2(x[:, self.split:])), 1)
        return out.index_select(1, self.channel_order)


@register_fixer(ShuffledResidual)
def fix_shuffled(module: ShuffledResidual, kept: Kept) -> None:
    """Halves and order follow the channels that are left."""
    def produced(branch: str, layers: nn.Sequential) -> tuple[Tensor, int]:
        name = f'{branch}.{len(layers) - 1}.conv.weight'
        return kept.positions(name, 0), kept.full_size(name, 0)

    right, right_size = produced('branch2', module.branch2)
    if module.stride > 1:
        left, left_size = produced('branch1', module.branch1)
    else:
        left, left_size = kept.positions(KEPT, 0), module.split
        left = left[left < left_size]
    module.split = len(left)
    number = torch.full((left_size + right_size, ), -1)
    number[torch.cat([left, left_size + right])] = torch.arange(len(left) + len(right))
    order = number[module.channel_order.cpu()]
    module.channel_order = order[order >= 0].to(module.channel_order.device)
