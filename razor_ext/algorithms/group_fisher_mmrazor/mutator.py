"""Channel mutator of GroupFisher over the units of MMRazor's analyzers."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmrazor.implementations.pruning.group_fisher import mutator as upstream
from mmrazor.models.task_modules.demo_inputs import DefaultDemoInput
from mmrazor.registry import MODELS, TASK_UTILS
from torch import nn

from razor_ext.graph import NothingToPruneError
from razor_ext.structure.divisor import check_divisor

from .decisions import PruningDecisions, check_min_ratio
from .resource import ResourceModel
from .unit import GroupFisherChannelUnit


@MODELS.register_module(force=True)
class GroupFisherChannelMutator(PruningDecisions, upstream.GroupFisherChannelMutator):
    """Channel mutator of GroupFisher.

    Args:
        channel_unit_cfg: type and arguments of the units.
        parse_cfg: how units are found; an analyzer's config, or the analyzer.
        divisor: channel counts stay multiples of it while pruning. 1 prunes single channels.
        min_ratio: share of its channels that a unit keeps at least.
    """

    def __init__(self,
                 channel_unit_cfg: dict | type[GroupFisherChannelUnit] = GroupFisherChannelUnit,
                 parse_cfg: dict | object | None = None,
                 divisor: int = 1,
                 min_ratio: float = 0.0,
                 **kwargs) -> None:
        if parse_cfg is None:
            parse_cfg = dict(type='ChannelAnalyzer', demo_input=(1, 3, 224, 224),
                             tracer_type='FxTracer')
        super().__init__(channel_unit_cfg, parse_cfg, **kwargs)
        self.divisor = divisor
        self.min_ratio = check_min_ratio(min_ratio)

    def prepare_from_supernet(self, supernet: nn.Module) -> None:
        """Find the units of a model and make its layers dynamic.

        Args:
            supernet: the dense model.

        Raises:
            NothingToPruneError: no unit was found.
            StructureError: the divisor is larger than a unit.
        """
        super().prepare_from_supernet(supernet)
        self._prunable: list[GroupFisherChannelUnit] = super(
            PruningDecisions, self).mutable_units  # those of MMRazor's mutator
        if not self._prunable:
            raise NothingToPruneError(
                f'no prunable channel unit was found in {type(supernet).__name__} '
                f'({len(self.units)} units were traced, none of them mutable); check that '
                'parse_cfg and its demo_input fit the model')
        check_divisor(self.divisor, {unit.name: unit.num_channels for unit in self._prunable})

    @property
    def mutable_units(self) -> list[GroupFisherChannelUnit]:
        """Prunable units."""
        return self._prunable

    def sample_maker(self, demo_input: Any | None = None) -> Any:
        """Return what makes the sample on which resources are measured.

        Args:
            demo_input: the one to take; None for the one that the units were found with.
        """
        if demo_input is not None:
            return demo_input
        shape = self.parse_cfg.get('demo_input') if isinstance(self.parse_cfg, Mapping) else None
        return TASK_UTILS.build(shape) if isinstance(shape, Mapping) \
            else DefaultDemoInput(shape or (1, 3, 224, 224))

    def measure_resource(self, supernet: nn.Module, forward: Callable[[], object]) -> None:
        """Learn how FLOPs and parameters follow from the channel counts.

        Args:
            supernet: the prepared model.
            forward: runs it once on one sample.
        """
        self.resource = ResourceModel(supernet, list(self.units), forward)
        self._normalise()

    def start_record_info(self) -> None:
        """Record the next step in every layer that consumes a prunable unit."""
        for unit in self._prunable:
            for layer in unit.input_related_dynamic_ops:
                layer.start_record()

    def end_record_info(self) -> None:
        """Stop recording."""
        for unit in self._prunable:
            for layer in unit.input_related_dynamic_ops:
                layer.end_record()

    def reset_recorded_info(self) -> None:
        """Free the statistics of the last step."""
        for unit in self._prunable:
            for layer in unit.input_related_dynamic_ops:
                layer.fisher = None
