"""Channel units: which positions of which parameters live and die together."""
from __future__ import annotations

import dataclasses

import torch


@dataclasses.dataclass(frozen=True, eq=False)
class UnitMember:
    """One dimension of one parameter or buffer that takes part in a unit.

    Args:
        name: Dotted name of the parameter or buffer.
        dim: The dimension.
        indices: LongTensor [num_channels, k]; row c holds the positions along `dim` that belong to
            channel c.
        role: 'out' where the positions produce the channel (weight rows, bias, norm affine and
            running statistics), 'in' where they consume it.
    """

    name: str
    dim: int
    indices: torch.Tensor
    role: str


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelUnit:
    """A set of channels that are interchangeable, each prunable by itself.

    Args:
        name: MMRazor's unit name, `<first output module>_(start, end)_<num_channels>`.
        num_channels: Number of channels.
        members: The dimensions that make up each channel.
        outputs: The same for model outputs that were declared free to shrink, named `output.<i>`.
        macs_per_channel: Multiply-accumulates of the traced input saved by removing one channel
            while everything else is whole.
        params_per_channel: Parameters saved likewise.
    """

    name: str
    num_channels: int
    members: tuple[UnitMember, ...]
    outputs: tuple[UnitMember, ...] = ()
    macs_per_channel: int = 0
    params_per_channel: int = 0
