"""FLOPs and parameters of a pruned structure in closed form.

MMRazor runs the whole model each time it wants to know. A few passes at the start are enough: the
cost of a convolution or linear layer is bilinear in its channel counts, everything else MMRazor
counts is linear in them. The figures equal MMRazor's counters on the *static* model; its counter of
a dynamic depthwise convolution divides by the dense group number and comes out too low.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from mmrazor.models.architectures.dynamic_ops import DynamicChannelMixin
from mmrazor.models.mutables import DerivedMutable, MutableChannelContainer
from mmrazor.models.mutables.mutable_channel.units import MutableChannelUnit
from mmrazor.models.task_modules.estimators.counters.flops_params_counter import (
    add_flops_params_counting_methods,
    is_supported_instance,
)
from torch import Tensor, nn


@dataclass(frozen=True)
class LinearForm:
    """`constant + ratio @ counts`: a number of channels as a function of the units' counts."""
    constant: float
    ratio: np.ndarray

    @classmethod
    def of(cls, container: MutableChannelContainer | None, width: int,
           units: dict[int, int]) -> LinearForm:
        """Express one side of a layer.

        Args:
            container: the layer's channels; None if they are fixed.
            width: channels of the dense layer.
            units: id of a unit's mutable channel -> position of the unit.

        Returns:
            The form over all units.
        """
        ratio, covered = np.zeros(len(units)), 0
        for (start, end), mutable in (container.mutable_channels.items() if container else ()):
            sources = mutable.source_mutables if isinstance(mutable, DerivedMutable) else (mutable,)
            for source in sources:
                position = units.get(id(source))
                if position is not None:
                    ratio[position] += (end - start) / source.num_channels
                    covered += end - start
        return cls(float(width - covered), ratio)

    def at(self, counts: np.ndarray) -> float:
        """Return the channels for the units' counts [num_units]."""
        return self.constant + float(self.ratio @ counts)


@dataclass(frozen=True)
class LayerCost:
    """`pair * in * out + single * out`, for FLOPs and for parameters."""
    inputs: LinearForm
    outputs: LinearForm
    flops: tuple[float, float]
    params: tuple[float, float]
    positions: int

    @classmethod
    def of(cls, layer: DynamicChannelMixin, positions: int, units: dict[int, int]) -> LayerCost:
        """Describe a dynamic convolution or linear layer.

        Args:
            layer: the layer.
            positions: output positions one sample passes through it.
            units: id of a unit's mutable channel -> position of the unit.
        """
        linear = isinstance(layer, nn.Linear)
        width_in = layer.in_features if linear else layer.in_channels
        width_out = layer.out_features if linear else layer.out_channels
        groups = 1 if linear else layer.groups
        taps = 1 if linear else prod(layer.kernel_size)
        bias = float(layer.bias is not None)
        inputs = LinearForm.of(layer.get_mutable_attr('in_channels'), width_in, units)
        outputs = LinearForm.of(layer.get_mutable_attr('out_channels'), width_out, units)
        depthwise = groups > 1 and groups == width_in == width_out
        pair, single = (0.0, float(taps)) if depthwise else (taps / groups, 0.0)
        bias_positions = 1 if linear else positions
        return cls(inputs, outputs, (pair * positions, single * positions + bias * bias_positions),
                   (pair, single + bias), positions)

    def at(self, counts: np.ndarray) -> np.ndarray:
        """Return [FLOPs, parameters] for the units' counts [num_units]."""
        wide_in, wide_out = self.inputs.at(counts), self.outputs.at(counts)
        return np.array([pair * wide_in * wide_out + single * wide_out
                         for pair, single in (self.flops, self.params)])

    def slope(self, counts: np.ndarray) -> np.ndarray:
        """Return the FLOPs one more channel of each unit costs, bias apart [num_units]."""
        pair, single = self.flops
        return (pair * (self.inputs.ratio * self.outputs.at(counts)
                        + self.outputs.ratio * self.inputs.at(counts))
                + single * self.outputs.ratio)


class ResourceModel:
    """Resources of a dynamic model as a function of its units' channel counts.

    Args:
        model: the dynamic model, dense or already pruned.
        units: all its channel units.
        forward: runs the model once on one sample.

    Attributes:
        dense: {'flops', 'params'} of the unpruned model.
    """

    def __init__(self, model: nn.Module, units: Sequence[MutableChannelUnit],
                 forward: Callable[[], object]) -> None:
        self.names = [unit.name for unit in units]
        self._full = np.array([unit.num_channels for unit in units], dtype=float)
        masks = [unit.mutable_channel.mask.clone() for unit in units]
        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                self._measure(model, units, forward)
        finally:
            for unit, mask in zip(units, masks):
                unit.mutable_channel.mask = mask
            model.train(training)
        self.dense = self.evaluate(dict(zip(self.names, self._full)))

    def _measure(self, model: nn.Module, units: Sequence[MutableChannelUnit],
                 forward: Callable[[], object]) -> None:
        for unit in units:
            unit.mutable_channel.mask = torch.ones_like(unit.mutable_channel.mask)
        position = {id(unit.mutable_channel): i for i, unit in enumerate(units)}
        layers = {name: layer for name, layer in model.named_modules()
                  if isinstance(layer, DynamicChannelMixin)
                  and isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd))}
        passed = dict.fromkeys(layers, 0)

        def count(name: str) -> Callable:
            def hook(layer: nn.Module, _: tuple, out: Tensor) -> None:
                passed[name] += prod(out.shape[:-1]) if isinstance(layer, nn.Linear) \
                    else prod(out.shape[2:])
            return hook

        handles = [layer.register_forward_hook(count(name)) for name, layer in layers.items()]
        rest = _other_cost(model, layers, forward)
        for handle in handles:
            handle.remove()
        self._layers = [LayerCost.of(layer, passed[name], position)
                        for name, layer in layers.items()]
        self._rest, self._rest_slope = rest, np.zeros((len(units), 2))
        if not rest.any():
            return
        for i, unit in enumerate(units):
            if not unit.is_mutable or unit.num_channels < 2:
                continue
            mask = torch.ones_like(unit.mutable_channel.mask)
            mask[-1] = 0
            unit.mutable_channel.mask = mask
            self._rest_slope[i] = rest - _other_cost(model, layers, forward)
            unit.mutable_channel.mask = torch.ones_like(mask)

    def _counts(self, counts: Mapping[str, int]) -> np.ndarray:
        return np.array([counts.get(name, full) for name, full in zip(self.names, self._full)],
                        dtype=float)

    def evaluate(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Return the resources of a structure.

        Args:
            counts: unit name -> channels kept; a missing unit is whole.

        Returns:
            'flops' in millions and 'params' in millions, as MMRazor's estimator gives them.
        """
        values = self._counts(counts)
        total = self._rest + (values - self._full) @ self._rest_slope
        total = total + sum(layer.at(values) for layer in self._layers)
        return {'flops': total[0] / 1e6, 'params': total[1] / 1e6}

    def flops_per_channel(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Return the multiply-accumulates that one channel of each unit costs now."""
        values = self._counts(counts)
        slope = sum((layer.slope(values) for layer in self._layers), np.zeros(len(self.names)))
        return dict(zip(self.names, slope))

    def activations_per_channel(self) -> dict[str, float]:
        """Return the output elements of one sample that one channel of each unit fills."""
        filled = sum((layer.positions * layer.outputs.ratio for layer in self._layers),
                     np.zeros(len(self.names)))
        return dict(zip(self.names, filled))


def _other_cost(model: nn.Module, analytic: Mapping[str, nn.Module],
                forward: Callable[[], object]) -> np.ndarray:
    """Return [FLOPs, parameters] of what MMRazor counts outside the analytic layers."""
    known = {id(layer) for layer in analytic.values()}
    counted = add_flops_params_counting_methods(model)
    counted.start_flops_params_count(None)
    try:
        forward()
        cost = [(module.__flops__, module.__params__) for module in model.modules()
                if id(module) not in known and is_supported_instance(module)]
    finally:
        counted.stop_flops_params_count()
    return np.array(cost, dtype=float).reshape(-1, 2).sum(0)
