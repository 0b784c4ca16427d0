"""What a structure at given bit widths costs, layer by layer."""
from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from razor_ext.quantization import LayerCost, bit_table, count_costs, summarize_costs
from razor_ext.structure.slicing import slice_quantized, static_copy

from .mutator import GraphMutator

#: Layer -> bit width of each quantized side ('weight' or an operand).
Bits = Mapping[str, Mapping[str, float]]


def present_bits(model: nn.Module) -> dict[str, dict[str, float]]:
    """Bit widths of the quantized sides of each layer; reads from the device."""
    table = {}
    for row in bit_table(model):
        sides = dict(row['activation_bits'])
        if row['weight_bits'] is not None:
            sides['weight'] = row['weight_bits']
        table[row['layer']] = sides
    return table


class StructureCosts:
    """Costs of the structures of one model, counted by running them sliced.

    Args:
        architecture: float or quantized; its values do not matter.
        mutator: its units.
    """

    def __init__(self, architecture: nn.Module, mutator: GraphMutator) -> None:
        self._model = static_copy(architecture)
        self._mutator = mutator
        self._data = mutator.demo_data(self._model)
        self._known: dict[tuple, list[LayerCost]] = {}
        #: MACs of the whole float model.
        self.dense_macs = mutator.graph.total_macs

    def layers(self, counts: Mapping[str, int]) -> list[LayerCost]:
        """Return the cost of each layer with the first channels of each unit kept."""
        key = tuple(sorted(counts.items()))
        if key not in self._known:
            keep = self._mutator.leading(counts)
            sliced = slice_quantized(self._model, self._mutator.graph, keep)
            self._known = {key: count_costs(sliced, self._data)}
        return self._known[key]

    def summary(self, counts: Mapping[str, int], bits: Bits) -> dict[str, float]:
        """Return `macs`, `params`, `bytes`, `bops` and `relative_bops` of a structure.

        Args:
            counts: channels kept per unit.
            bits: bit widths; a layer that is not named is float.
        """
        layers = []
        for cost in self.layers(counts):
            own = copy.copy(cost)
            own.bits = {side: torch.tensor(float(b)) for side, b in bits.get(cost.name, {}).items()}
            layers.append(own)
        return summarize_costs(layers, self.dense_macs)


def mean_bits(costs: list[LayerCost], bits: Bits) -> dict[str, Any]:
    """Mean bit width of the weights (per element) and of the activations (per product)."""
    weight = [(cost.weight_params, bits[cost.name]['weight']) for cost in costs
              if 'weight' in bits.get(cost.name, {})]
    acts = [(macs, bits[cost.name][side]) for cost in costs
            for macs, *sides in cost.products for side in sides
            if side not in (None, 'weight') and side in bits.get(cost.name, {})]
    means = {'weight_bits': weight, 'activation_bits': acts}
    return {name: sum(n * b for n, b in rows) / max(sum(n for n, _ in rows), 1)
            for name, rows in means.items() if rows}
