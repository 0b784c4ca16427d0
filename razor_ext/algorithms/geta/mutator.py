"""Channel units of a model, from the dependency graph, under MMRazor's names."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.graph import ChannelGraph, ChannelUnit, analyze
from razor_ext.structure.rebuild import build_demo_input
from razor_ext.structure.templates import choice_template, config_template

from .groups import GroupIndex
from .targets import Divisor


@MODELS.register_module()
class GETAMutator:
    """Finds the channel units of a model by the dependency graph and keeps the rules of pruning.

    Args:
        demo_input: makes the input on which the model is traced: a shape with a batch of 1, or the
            config of one of MMRazor's demo inputs.
        divisor: channel counts are multiples of it: a number, or a table by unit name.
        keep: exact dotted names of modules or parameters of the architecture to leave whole.
        min_channels: channels that every unit keeps at least.
    """

    def __init__(self, demo_input: Sequence[int] | Mapping = (1, 3, 224, 224),
                 divisor: Divisor = 1, keep: Sequence[str] = (), min_channels: int = 1) -> None:
        self._demo_input = build_demo_input(demo_input)
        self.divisor = divisor
        self.keep = list(keep)
        self.min_channels = min_channels
        self._graph: ChannelGraph | None = None

    def __deepcopy__(self, memo: dict) -> GETAMutator:
        # It describes a structure, which the copies of a model (averages) share.
        return self

    def prepare_from_supernet(self, supernet: nn.Module) -> None:
        """Find the units of a float model.

        Args:
            supernet: the dense model.

        Raises:
            NothingToPruneError: no unit is prunable.
            ValueError: `keep` names what the model does not have.
        """
        self._graph = analyze(supernet, self.demo_data(supernet), keep=self.keep)

    def demo_data(self, model: nn.Module) -> Any:
        """Return the example inputs of a model."""
        return self._demo_input.get_data(model)

    @property
    def graph(self) -> ChannelGraph:
        """The dependency graph.

        Raises:
            RuntimeError: no model has been analysed.
        """
        if self._graph is None:
            raise RuntimeError('no model has been analysed: call prepare_from_supernet() first')
        return self._graph

    @property
    def mutable_units(self) -> list[ChannelUnit]:
        """Prunable units, in execution order."""
        return self.graph.units

    @property
    def choice_template(self) -> dict[str, int]:
        """Channels of every unit before pruning, the form of fix_subnet.json."""
        return choice_template(self.mutable_units)

    def config_template(self, with_channels: bool = False, with_unit_init_args: bool = False
                        ) -> dict[str, dict]:
        """Describe the units, in the form that MMRazor's mutators have.

        Args:
            with_channels: with the parameters of every unit.
            with_unit_init_args: with the number of channels.
        """
        return config_template(self.mutable_units, with_channels, with_unit_init_args)

    def group_index(self, architecture: nn.Module) -> GroupIndex:
        """Return the groups of the parameters of a model of the analysed structure."""
        return GroupIndex(self.mutable_units, architecture.named_parameters(),
                          [name for name, _ in architecture.named_buffers()])

    def leading(self, counts: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Return masks that keep the first channels of each unit."""
        return {unit.name: torch.arange(unit.num_channels) < counts.get(unit.name,
                                                                        unit.num_channels)
                for unit in self.mutable_units}
