"""Channel units of a model, from the dependency graph, under MMRazor's names."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.graph import ChannelGraph, ChannelUnit, NothingToPruneError, analyze, proof_folder
from razor_ext.graph.norms import mask_norms, shares
from razor_ext.structure.demo_input import build_demo_input
from razor_ext.structure.divisor import check_divisor
from razor_ext.structure.templates import choice_template, config_template

from .channel_index import ChannelIndex
from .chooser import Chooser, Divisor
from .frozen_layers import frozen_weights


@MODELS.register_module(name=['GraphMutator', 'GETAMutator'])
class GraphMutator:
    """Finds the channel units of a model by the dependency graph and keeps the rules of pruning.

    Args:
        demo_input: makes the input on which the model is traced: a shape with a batch of 1, or the
            config of one of MMRazor's demo inputs; None for that of the model's family.
        divisor: channel counts are multiples of it: a number, or a table by unit name. A unit
            narrower than it stays whole.
        keep: exact dotted names of modules or parameters of the architecture to leave whole.
        min_channels: channels that every unit keeps at least.
        min_ratio: share of its channels in [0, 1) that every unit keeps at least.

    Raises:
        StructureError, ValueError: an argument is out of range.
    """

    def __init__(self, demo_input: Sequence[int] | Mapping | None = None, divisor: Divisor = 1,
                 keep: Sequence[str] = (), min_channels: int = 1, min_ratio: float = 0.0) -> None:
        for number in divisor.values() if isinstance(divisor, Mapping) else (divisor, ):
            check_divisor(number, {})
        if not 0 <= min_ratio < 1:
            raise ValueError(f'min_ratio must lie in [0, 1), got {min_ratio}')
        self._demo_input = build_demo_input(demo_input)
        self.divisor, self.keep = divisor, list(keep)
        self.min_channels, self.min_ratio = min_channels, min_ratio
        self._graph: ChannelGraph | None = None

    def __deepcopy__(self, memo: dict) -> GraphMutator:
        # It describes a structure, which the copies of a model (averages) share.
        return self

    def prepare_from_supernet(self, supernet: nn.Module) -> None:
        """Find the units of a float model; frozen layers stay whole.

        Args:
            supernet: the dense model.

        Raises:
            NothingToPruneError: no unit is prunable.
            ValueError: `keep` or `divisor` names what the model does not have.
        """
        supernet.train(supernet.training)  # backbones freeze their first stages by it
        frozen = frozen_weights(supernet)
        if frozen:
            print_log(f'left whole, since requires_grad is False: {", ".join(frozen)}',
                      logger='current')
        try:
            self._graph = analyze(supernet, self.demo_data(supernet), keep=[*self.keep, *frozen],
                                  memory=proof_folder())
        except NothingToPruneError as error:
            raise (NothingToPruneError(f'{len(frozen)} layers are frozen (requires_grad is False), '
                                       f'first: {frozen[0]}; {error}') if frozen else error
                   ) from error
        self.chooser()

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

    def channel_index(self, architecture: nn.Module) -> ChannelIndex:
        """Return the flat index of a model of the analysed structure."""
        return ChannelIndex(self.mutable_units, architecture.named_parameters(),
                            [name for name, _ in architecture.named_buffers()],
                            {name: norm.kept_channels
                             for name, norm in shares(architecture).items()})

    def mask_norms(self, architecture: nn.Module) -> None:
        """Make the norms over prunable channels mask-aware, in place; see `razor_ext.graph.norms`.

        Args:
            architecture: a model of the analysed structure, to be trained with masked channels.
        """
        mask_norms(architecture, {member.name for unit in self.mutable_units
                                  for member in unit.members})

    def floors(self) -> dict[str, int]:
        """Return the channels that each unit keeps at least."""
        return {unit.name: max(self.min_channels, math.ceil(unit.num_channels * self.min_ratio))
                for unit in self.mutable_units}

    def chooser(self) -> Chooser:
        """Return what chooses channels under the divisors and floors.

        Raises:
            ValueError: the divisor table names what is no unit.
        """
        return Chooser([unit.name for unit in self.mutable_units],
                       [unit.num_channels for unit in self.mutable_units],
                       self.divisor, self.floors())

    def leading(self, structure: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Return masks that keep the first channels of each unit."""
        return {unit.name: torch.arange(unit.num_channels) < structure.get(unit.name,
                                                                           unit.num_channels)
                for unit in self.mutable_units}
