"""Channel mutator of GroupFisher: statistics of all units at once, and what they decide."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mmengine import dist
from mmengine.logging import print_log
from mmrazor.implementations.pruning.group_fisher import mutator as upstream
from mmrazor.registry import MODELS
from torch import Tensor, nn

from razor_ext.subnet.divisor import check_divisor

from .resource import ResourceModel
from .selection import Candidate, select_blocks
from .unit import GroupFisherChannelUnit

#: Prunings in a row that may be skipped because statistics are not finite.
MAX_SKIPPED = 10


class NothingToPruneError(RuntimeError):
    """The model has no prunable channel unit."""


@MODELS.register_module(force=True)
class GroupFisherChannelMutator(upstream.GroupFisherChannelMutator):
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
        if not 0 <= min_ratio < 1:
            raise ValueError(f'min_ratio must lie in [0, 1), got {min_ratio}')
        super().__init__(channel_unit_cfg, parse_cfg, **kwargs)
        self.divisor = divisor
        self.min_ratio = min_ratio
        self.resource: ResourceModel | None = None
        self._skipped = 0

    def prepare_from_supernet(self, supernet: nn.Module) -> None:
        """Find the units of a model and make its layers dynamic.

        Args:
            supernet: the dense model.

        Raises:
            NothingToPruneError: no unit was found.
            SubnetError: the divisor is larger than a unit.
        """
        super().prepare_from_supernet(supernet)
        self._prunable = super().mutable_units
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

    def measure_resource(self, supernet: nn.Module, forward: Callable[[], object]) -> None:
        """Learn how FLOPs and parameters follow from the channel counts.

        Args:
            supernet: the prepared model.
            forward: runs it once on one sample.
        """
        self.resource = ResourceModel(supernet, list(self.units), forward)
        self._normalise()

    def _normalise(self) -> None:
        kinds = {unit.delta_type for unit in self._prunable}
        flops = self.resource.flops_per_channel(self.counts()) if 'flops' in kinds else {}
        acts = self.resource.activations_per_channel() if 'act' in kinds else {}
        worth = {'flops': (flops, 1e9), 'act': (acts, 1e6), 'none': ({}, 1.0)}
        self._norm = {}
        for unit in self._prunable:
            table, scale = worth[unit.delta_type]
            self._norm[unit.name] = table.get(unit.name, scale) / scale

    def counts(self) -> dict[str, int]:
        """Return the active channels of every prunable unit."""
        return {unit.name: int(unit.mutable_channel.activated_channels) for unit in self._prunable}

    @torch.no_grad()
    def copy_structure(self, other: GroupFisherChannelMutator) -> None:
        """Take over the masks and statistics of the mutator of a model of the same kind."""
        for mine, theirs in zip(self.mutable_units, other.mutable_units):
            mine.mutable_channel.mask.copy_(theirs.mutable_channel.mask)
            mine.normalized_fisher_info.copy_(theirs.normalized_fisher_info)

    def current_ratio(self, resource_type: str = 'flops') -> float:
        """Return the share of the dense model's FLOPs or parameters that is left."""
        current = self.resource.evaluate(self.counts())
        return current[resource_type] / self.resource.dense[resource_type]

    def smallest_ratio(self) -> float:
        """Return the share of the FLOPs left with every unit pruned as far as it may be."""
        floors = {unit.name: self._candidate(unit, self.importances([unit])[0]).smallest()
                  for unit in self._prunable}
        return self.resource.evaluate(floors)['flops'] / self.resource.dense['flops']

    # statistics

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

    @torch.no_grad()
    def update_imp(self, num_samples: int, grad_scale: Tensor | float = 1.0) -> None:
        """Add the Fisher information of a step, summed over all ranks.

        Args:
            num_samples: samples of the step on this rank.
            grad_scale: factor on the loss (mixed precision) that the gradients still hold.
        """
        infos = [unit.batch_fisher(num_samples) for unit in self._prunable]
        flat = torch.cat(infos) / (grad_scale * dist.get_world_size()) ** 2
        # An overflowing mixed-precision step is dropped by the optimizer: drop its statistics too.
        flat = torch.where(torch.isfinite(flat).all(), flat, torch.zeros_like(flat))
        dist.all_reduce(flat)
        for unit, info in zip(self._prunable, flat.split([info.numel() for info in infos])):
            unit.normalized_fisher_info += info / self._norm[unit.name]

    def reset_recorded_info(self) -> None:
        """Free the statistics of the last step."""
        for unit in self._prunable:
            for layer in unit.input_related_dynamic_ops:
                layer.fisher = None

    # decisions

    def importances(self, units: Sequence[GroupFisherChannelUnit]) -> list[Tensor]:
        """Return the ascending importance of the active channels of each unit, on the CPU."""
        return [unit.normalized_fisher_info[unit.mutable_channel.current_mask].sort()[0].cpu()
                for unit in units]

    def _candidate(self, unit: GroupFisherChannelUnit, scores: Tensor) -> Candidate:
        floor = max(self.divisor, int(-(-unit.num_channels * self.min_ratio // 1)), 1)
        return Candidate(scores.numpy(), scores.numel(), floor, self.divisor)

    def prune_to(self, ratio: float) -> bool:
        """Prune the least important channels until a share of the FLOPs is left.

        Args:
            ratio: share of the dense model's FLOPs to keep.

        Returns:
            Whether that share, or less, is now left.
        """
        budget = ratio * self.resource.dense['flops']
        return self._prune(lambda counts: self.resource.evaluate(counts)['flops'] <= budget)

    def try_prune(self) -> bool:
        """Prune the single least important channel, or block of `divisor` channels."""
        before = self.counts()
        return self._prune(lambda counts: counts != before)

    def _prune(self, enough: Callable[[dict[str, int]], bool]) -> bool:
        scores = self.importances(self._prunable)
        broken = [unit.name for unit, score in zip(self._prunable, scores)
                  if not torch.isfinite(score).all()]
        if broken:
            self._skip(broken)
            return False
        self._skipped = 0
        candidates = {unit.name: self._candidate(unit, score)
                      for unit, score in zip(self._prunable, scores)}
        taken = select_blocks(candidates, enough)
        for unit in self._prunable:
            if unit.name in taken:
                unit.prune_lowest(taken[unit.name])
        if taken:
            self._normalise()
        return enough(self.counts())

    def _skip(self, broken: list[str]) -> None:
        self._skipped += 1
        message = (f'Fisher information of {len(broken)} units is not finite (first: {broken[0]}); '
                   f'pruning skipped, {self._skipped} in a row')
        if self._skipped >= MAX_SKIPPED:
            raise RuntimeError(f'{message}. The training diverges: lower lr_ratio in the config')
        print_log(message, logger='current', level=30)
