"""Channel mutator of GroupFisher over the units of the dependency graph."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union

import torch
from mmrazor.registry import MODELS
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from razor_ext.graph import ChannelGraph, analyze
from razor_ext.structure.divisor import check_divisor
from razor_ext.structure.rebuild import build_demo_input
from razor_ext.structure.templates import choice_template, config_template

from .decisions import PruningDecisions, check_min_ratio
from .graph_resource import GraphResource
from .graph_unit import GraphFisherUnit, channel_dim, check_normalization, tapped_layers
from .masks import ChannelMasks
from .taps import InputTap

Divisor = Union[int, Mapping[str, int]]


@MODELS.register_module()
class GraphGroupFisherMutator(PruningDecisions, nn.Module):
    """Prunes any model that the dependency graph understands by GroupFisher.

    The layers of the model stay as they are: pruned channels are held at zero in place, and the
    layers that consume a channel are tapped during a step. Masks and statistics are buffers, so a
    checkpoint resumes.

    Args:
        demo_input: makes the input on which the model is traced: a shape with a batch of 1, or the
            config of one of MMRazor's demo inputs.
        divisor: channel counts stay multiples of it while pruning: a number, or a table by unit
            name. A unit narrower than it stays whole.
        min_ratio: share of its channels that a unit keeps at least.
        keep: exact dotted names of modules or parameters of the architecture to leave whole.
        normalization_type: what the Fisher information is divided by: 'flops', 'act' (activation
            memory) or 'none'.

    Raises:
        SubnetError, ValueError: an argument is out of range.
    """

    def __init__(self, demo_input: Sequence[int] | Mapping = (1, 3, 224, 224),
                 divisor: Divisor = 1, min_ratio: float = 0.0, keep: Sequence[str] = (),
                 normalization_type: str = 'act') -> None:
        super().__init__()
        self._demo_input = build_demo_input(demo_input)
        for number in divisor.values() if isinstance(divisor, Mapping) else (divisor, ):
            check_divisor(number, {})
        self.divisor = divisor
        self.min_ratio = check_min_ratio(min_ratio)
        self.keep = list(keep)
        self.normalization_type = check_normalization(normalization_type)
        self.units = nn.ModuleList()
        self._handles: list[RemovableHandle] = []
        self._gradients: dict[tuple[str, int], Tensor] = {}

    def prepare_from_supernet(self, supernet: nn.Module) -> None:
        """Find the units of a model.

        Args:
            supernet: the dense model.

        Raises:
            NothingToPruneError: no unit is prunable.
            ValueError: `keep` or `divisor` names what the model does not have.
        """
        graph = analyze(supernet, self.demo_data(supernet), keep=self.keep)
        names = [unit.name for unit in graph.units]
        table = self.divisor if isinstance(self.divisor, Mapping) else {}
        unknown = sorted(set(table) - set(names))
        if unknown:
            raise ValueError(f'the divisor table names {unknown}, which are no units; units: '
                             f'{", ".join(names)}')
        self.resource = GraphResource(graph)
        self.units = nn.ModuleList(
            GraphFisherUnit(unit, supernet, self.normalization_type) for unit in graph.units)
        layers = dict(supernet.named_modules())
        self._taps = [InputTap(layers[name], name, channel_dim(layers[name]))
                      for name in tapped_layers(self.units)]
        parameters = dict(supernet.named_parameters())
        slots = {(member.name, member.dim) for unit in self.units for member in unit.slices}
        # In tuples: the architecture is a module of the algorithm, not of its mutator.
        self._slots = [(slot, (parameters[slot[0]], )) for slot in sorted(slots)]
        self._masks = ChannelMasks(supernet, self.units)
        self._normalise()

    def sample_maker(self, demo_input: Any | None = None) -> Any:
        """Return what makes the sample on which the model was traced and costs are counted.

        Raises:
            ValueError: another one is given.
        """
        if demo_input is not None:
            raise ValueError('a GraphGroupFisherMutator counts on its own demo_input: remove '
                             'demo_input from ResourceInfoHook')
        return self._demo_input

    def demo_data(self, model: nn.Module) -> Any:
        """Return the example inputs of a model."""
        return self._demo_input.get_data(model)

    @property
    def graph(self) -> ChannelGraph:
        """The dependency graph.

        Raises:
            RuntimeError: no model has been analysed.
        """
        if self.resource is None:
            raise RuntimeError('no model has been analysed: call prepare_from_supernet() first')
        return self.resource.graph

    @property
    def mutable_units(self) -> Sequence[GraphFisherUnit]:
        """Prunable units, in execution order."""
        return self.units

    @property
    def choice_template(self) -> dict[str, int]:
        """Channels of every unit before pruning, the form of fix_subnet.json."""
        return choice_template(self.graph.units)

    def config_template(self, with_channels: bool = False, with_unit_init_args: bool = False
                        ) -> dict[str, dict]:
        """Describe the units, in the form that MMRazor's mutators have.

        Args:
            with_channels: with the parameters of every unit.
            with_unit_init_args: with the number of channels.
        """
        return config_template(self.graph.units, with_channels, with_unit_init_args)

    def keep_masks(self) -> dict[str, Tensor]:
        """Return unit name -> Boolean mask of the channels that are left, on the CPU."""
        return {unit.name: unit.mutable_channel.current_mask.cpu() for unit in self.units}

    def measure_resource(self, supernet: nn.Module, forward: Callable[[], object]) -> None:
        """Nothing to measure: the graph knows what a structure costs."""

    # masks

    def hold_structure(self) -> None:
        """Set the pruned channels to zero, in parameters and buffers."""
        self._masks.apply()

    def copy_structure(self, other: GraphGroupFisherMutator) -> None:
        """Take over the masks and statistics of the mutator of a model of the same kind."""
        super().copy_structure(other)
        self.hold_structure()

    def _prune(self, enough: Callable[[dict[str, int]], bool]) -> bool:
        met = super()._prune(enough)
        self.hold_structure()
        return met

    def _divisor_of(self, unit: GraphFisherUnit) -> int:
        return self.divisor.get(unit.name, 1) if isinstance(self.divisor, Mapping) \
            else self.divisor

    # statistics

    def start_record_info(self) -> None:
        """Record the next step wherever a prunable unit is consumed."""
        self._detach()
        self._gradients = {}
        self._handles = [tap.attach() for tap in self._taps]
        self._handles += [parameter.register_hook(self._receiver(slot, parameter))
                          for slot, (parameter, ) in self._slots]

    def end_record_info(self) -> None:
        """Stop recording."""
        self._detach()

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _receiver(self, slot: tuple[str, int], parameter: Tensor) -> Callable[[Tensor], None]:
        @torch.no_grad()
        def receive(gradient: Tensor) -> None:
            product = parameter.float() * gradient.float()
            others = [i for i in range(product.dim()) if i != slot[1]]
            values = product.sum(others) if others else product
            self._gradients[slot] = self._gradients.get(slot, 0) + values

        return receive

    def update_imp(self, num_samples: int, grad_scale: Tensor | float = 1.0) -> None:
        """Add the Fisher information of a step, summed over all ranks.

        Args:
            num_samples: samples of the step on this rank.
            grad_scale: factor on the loss (mixed precision) that the gradients still hold.
        """
        samples = {tap.name: tap.per_sample(num_samples) for tap in self._taps}
        for unit in self.units:
            unit.record(samples, self._gradients)
        super().update_imp(num_samples, grad_scale)

    def reset_recorded_info(self) -> None:
        """Free the statistics of the last step."""
        self._gradients = {}
        for tap in self._taps:
            tap.rows = []
        for unit in self.units:
            unit.forget()
