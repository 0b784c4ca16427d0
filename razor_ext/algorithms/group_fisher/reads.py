"""Where the Fisher information of a channel unit is read.

A channel is masked where it is consumed. A convolution, linear layer or any layer that says which
dimension of its input holds the channels (`input_channel_dim`) is tapped: sum(x * dL/dx) for each
sample, squared and summed over the samples (equation 4 of https://arxiv.org/abs/2108.00708).

A parameter that no such layer owns has no input to tap. A product is linear in it, so
sum(w * dL/dw) over the slices of a channel equals sum(x * dL/dx), but of the whole batch. Its
square is what a unit with such a consumer gets: for independent contributions of mean zero the
expectation is that of the sum of squares, with more noise. A unit that no parameter consumes (the
queries and keys of gated attention, multiplied with each other) is read from its scales and shifts,
for which sum(w * dL/dw) is the same sum over what they return.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from razor_ext.graph import ChannelUnit, UnitMember

#: Dimension of a layer's input that holds the channels, for layers that do not say it.
CHANNEL_DIMS: dict[type[nn.Module], int] = {nn.modules.conv._ConvNd: 1, nn.Linear: -1}


def input_channel_dim(layer: nn.Module) -> int | None:
    """Return the dimension of a layer's input that holds the channels; None if it is unknown.

    `nn.MultiheadAttention` reads the weight of its `out_proj` without ever calling the layer.
    """
    if isinstance(layer, NonDynamicallyQuantizableLinear):
        return None
    known = (dim for kind, dim in CHANNEL_DIMS.items() if isinstance(layer, kind))
    return getattr(layer, 'input_channel_dim', next(known, None))


@dataclass(frozen=True)
class TapRead:
    """Where a unit's channels are in the input of a layer.

    Attributes:
        layer: name of the layer.
        positions: LongTensor [num_channels, k] along the channel dimension.
    """
    layer: str
    positions: Tensor


def input_positions(layer: nn.Module, member: UnitMember) -> Tensor | None:
    """Return where the channels of a unit enter the layer that owns one of its parameters.

    Args:
        layer: a layer with a channel dimension.
        member: a dimension of its weight.

    Returns:
        LongTensor [num_channels, k], None if the layer does not consume the channels.
    """
    groups = getattr(layer, 'groups', 1)
    if groups == 1:
        return member.indices if member.role == 'in' else None
    conv = cast(nn.modules.conv._ConvNd, layer)  # what has groups has its other attributes too
    per_group = conv.in_channels // groups
    if per_group == 1 and member.dim == 0:  # depthwise: what it consumes is what it makes
        multiplier = conv.weight.shape[0] // conv.in_channels
        return torch.stack([row.unique() for row in member.indices // multiplier])
    if member.role == 'in' and member.dim == 1 and not conv.transposed:
        starts = torch.arange(0, conv.in_channels, per_group)
        return (member.indices[:, :, None] + starts).flatten(1)
    return None


class UnitReads(nn.Module):
    """Where the channels of a unit are consumed, and what a step says of them.

    Args:
        unit: the graph's unit.
        model: the model that was analysed.

    Attributes:
        reads: layers that consume the channels and can be tapped.
        slices: members whose sum(w * dL/dw) counts; none if every consumer is tapped.
    """

    def __init__(self, unit: ChannelUnit, model: nn.Module) -> None:
        super().__init__()
        self.name, self.num_channels = unit.name, unit.num_channels
        self.reads, self.slices = _consumers(unit, model)
        for i, positions in enumerate([*(read.positions for read in self.reads),
                                       *(member.indices for member in self.slices)]):
            self.register_buffer(f'positions_{i}', positions, persistent=False)

    @property
    def per_sample(self) -> bool:
        """Whether the contributions of each sample are known."""
        return not self.slices

    def contributions(self, samples: Mapping[str, Tensor | None],
                      batches: Mapping[tuple[str, int], Tensor]) -> Tensor:
        """Return what a step says of each channel.

        Args:
            samples: layer -> contributions [num_samples, its input channels], None if not run.
            batches: (parameter, dimension) -> contributions [positions].

        Returns:
            Float32 [num_channels]: sums over the samples of squared contributions, or the
            contribution of the batch if not `per_sample`.

        Raises:
            RuntimeError: no consumer of the channels took part in the step.
        """
        recorded = [*(samples.get(read.layer) for read in self.reads),
                    *(batches.get((member.name, member.dim)) for member in self.slices)]
        found = []
        for i, values in enumerate(recorded):
            if values is None:
                continue
            values = values[..., self.get_buffer(f'positions_{i}')].sum(-1)
            found.append(values.sum(0) if i < len(self.reads) and self.slices else values)
        if not found:
            consumers = [read.layer for read in self.reads] + [m.name for m in self.slices]
            raise RuntimeError(
                f'unit {self.name!r} got no gradient in this step: what consumes it '
                f'({", ".join(consumers)}) was not run or not recorded. Freeze nothing behind a '
                "pruned unit, or name the unit's layer in the keep list of the algorithm")
        total = sum(found[1:], found[0])
        return total.square().sum(0) if self.per_sample else total


def _consumers(unit: ChannelUnit, model: nn.Module) -> tuple[list[TapRead], list[UnitMember]]:
    """Find the layers to tap, and the slices to read where a consumer cannot be tapped."""
    parameters = dict(model.named_parameters())
    reads: list[TapRead] = []
    untapped: list[UnitMember] = []
    scales: list[UnitMember] = []
    members = [member for member in unit.members if member.name in parameters]
    for member in members:
        owners = _owners(model, parameters[member.name])
        if all(input_channel_dim(layer) is None for _, _, layer in owners):
            scales.append(member)
        entries = [(path, input_positions(layer, member)) for path, local, layer in owners
                   if local == 'weight' and input_channel_dim(layer) is not None]
        found = [TapRead(path, positions) for path, positions in entries if positions is not None]
        if len(found) == len(owners):
            reads.extend(found)
        elif member.role == 'in':
            untapped.append(member)
    if untapped or reads:
        return reads, untapped
    return [], scales or members


def _owners(model: nn.Module, parameter: Tensor) -> list[tuple[str, str, nn.Module]]:
    """Return (module name, local name, module) wherever a parameter is held."""
    return [(path, local, module) for path, module in model.named_modules()
            for local, own in module.named_parameters(recurse=False) if own is parameter]


def tapped_layers(units: Sequence[UnitReads]) -> list[str]:
    """Return the names of the layers that units read, each once, in order."""
    return list(dict.fromkeys(read.layer for unit in units for read in unit.reads))
