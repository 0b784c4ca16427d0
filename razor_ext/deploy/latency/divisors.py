"""Divisors of the channel counts that follow from measured layers."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from razor_ext.structure.latency import LayerShape, layer_shapes

from ..errors import DeployError
from .table import LatencyTable

CANDIDATES = (1, 2, 4, 8, 16, 32)
#: Channels around the expected width at which a divisor is judged: no power of two apart.
OFFSETS = (-13, -6, 2, 9)


@dataclass(frozen=True)
class UnitLayer:
    """A layer at one end of a channel unit.

    Args:
        shape: The layer as it is.
        inputs: Share of its input channels that belong to the unit.
        outputs: Share of its output channels.
    """

    shape: LayerShape
    inputs: float
    outputs: float

    def at(self, width: int, whole: int) -> LayerShape:
        """The layer when `width` of the unit's `whole` channels are left."""
        inputs, outputs = (
            max(1, round(count * (1 - share) + count * share * width / whole))
            for count, share in ((self.shape.inputs, self.inputs),
                                 (self.shape.outputs, self.outputs)))
        if self.shape.groups > 1:  # depthwise: both ends are the unit's
            return dataclasses.replace(self.shape, inputs=outputs, outputs=outputs, groups=outputs)
        return dataclasses.replace(self.shape, inputs=inputs, outputs=outputs)


def unit_layers(model: nn.Module, units: Sequence,
                forward: Callable[[], object]) -> dict[str, list[UnitLayer]]:
    """Find the convolutions and linear layers at the ends of every unit.

    Args:
        model: Model the units were found in.
        units: ``ChannelGraph.units``.
        forward: Runs the model once on a batch of 1.

    Returns:
        Layers by unit name. Grouped convolutions other than depthwise ones are left out.
    """
    shapes = layer_shapes(model, forward)
    found: dict[str, list[UnitLayer]] = {}
    for unit in units:
        shares: dict[str, dict[int, float]] = {}
        for member in unit.members:
            module, _, parameter = member.name.rpartition('.')
            if parameter == 'weight' and module in shapes and member.dim in (0, 1):
                width = (shapes[module].outputs if member.dim == 0
                         else shapes[module].inputs // shapes[module].groups)
                shares.setdefault(module, {})[member.dim] = member.indices.numel() / width
        found[unit.name] = [UnitLayer(shapes[module], share.get(1, 0.0), share.get(0, 0.0))
                            for module, share in shares.items()]
    return found


def choose_divisors(layers: Mapping[str, Sequence[UnitLayer]], widths: Mapping[str, int],
                    table: LatencyTable, bits: int, keep: float = 0.5, tolerance: float = 0.05,
                    candidates: Sequence[int] = CANDIDATES) -> dict[str, int]:
    """Choose the divisor of every unit from measured times.

    Each candidate is judged by the time per channel kept of the layers at the unit's ends, at its
    multiples near a few widths around the one expected. The smallest candidate within `tolerance`
    of the best wins: a small divisor leaves pruning more choice.

    Args:
        layers: From :func:`unit_layers`.
        widths: Channels of every unit.
        table: Times.
        bits: Bit width of the deployed layers.
        keep: Share of channels expected to be kept.
        tolerance: How much slower than the best a smaller divisor may be.
        candidates: Divisors to choose from.

    Returns:
        Divisor by unit name, at most half of the unit, as ``divisor`` of the GETA mutator takes it.

    Raises:
        DeployError: If `keep` is not a share or there is no positive candidate.
    """
    if not 0 < keep <= 1 or not candidates or min(candidates) < 1:
        raise DeployError(f'keep={keep} must be in (0, 1], candidates={list(candidates)} positive')
    chosen = {}
    for name, ends in layers.items():
        whole = widths[name]
        cost = {}
        for divisor in sorted(set(candidates)):
            if not ends or 1 < divisor > whole // 2:  # leave something to prune
                continue
            tried = {min(max(divisor, divisor * round((keep * whole + offset) / divisor)), whole)
                     for offset in OFFSETS}
            cost[divisor] = sum(
                sum(table.milliseconds(end.at(width, whole), bits) for end in ends) / width
                for width in tried) / len(tried)
        best = min(cost.values(), default=0.0)
        chosen[name] = next((divisor for divisor, value in cost.items()
                             if value <= best * (1 + tolerance)), 1)
    return chosen
