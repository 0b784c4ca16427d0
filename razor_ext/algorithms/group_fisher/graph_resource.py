"""Costs of a structure, from the dependency graph."""
from __future__ import annotations

from collections.abc import Callable, Mapping

from razor_ext.graph import ChannelGraph


class GraphResource:
    """Resources of a model as a function of its units' channel counts.

    Multiply-accumulates of every convolution and matrix product, products of activations included,
    which MMRazor's counters do not see.

    Args:
        graph: the dependency graph, traced on one sample.

    Attributes:
        graph: the dependency graph.
        dense: {'flops', 'params'} of the unpruned model, in millions.
    """

    def __init__(self, graph: ChannelGraph) -> None:
        self.graph = graph
        self.dense = self.evaluate({})

    def __deepcopy__(self, memo: dict) -> GraphResource:
        # It describes a structure, which the copies of a model (averages) share.
        return self

    def evaluate(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Return the resources of a structure.

        Args:
            counts: unit name -> channels kept; a missing unit is whole.

        Returns:
            'flops' (multiply-accumulates) and 'params', in millions.
        """
        return {'flops': self.graph.macs(counts) / 1e6, 'params': self.graph.params(counts) / 1e6}

    def flops_per_channel(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Return the multiply-accumulates that one channel of each unit costs now."""
        return self._saved(self.graph.macs, counts)

    def activations_per_channel(self) -> dict[str, float]:
        """Return the elements that convolutions and products of one sample hold per channel."""
        return self._saved(self.graph.activations,
                           {unit.name: unit.num_channels for unit in self.graph.units})

    @staticmethod
    def _saved(cost: Callable[[Mapping[str, int]], int], counts: Mapping[str, int]
               ) -> dict[str, float]:
        whole = cost(counts)
        return {name: float(whole - cost({**counts, name: count - 1}))
                for name, count in counts.items()}
