"""What GroupFisher decides from its statistics, however its units were found."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from mmengine import dist
from mmengine.logging import print_log
from mmrazor.models.mutables import SimpleMutableChannel
from torch import Tensor

from .selection import Candidate, select_blocks

#: Prunings in a row that may be skipped because statistics are not finite.
MAX_SKIPPED = 10


class NothingToPruneError(RuntimeError):
    """The model has no prunable channel unit."""


class FisherUnit:
    """What a channel unit of either mutator holds and is asked.

    Attributes:
        name: MMRazor's unit name.
        num_channels: channels before pruning.
        mutable_channel: the mask of the channels.
        normalized_fisher_info: statistics since the last pruning [num_channels].
        delta_type: what they are divided by: 'flops', 'act' or 'none'.
        per_sample: whether `batch_fisher` squares the contribution of each sample; else it returns
            the contribution of the batch, which is squared once it is summed over the ranks.
    """
    name: str
    num_channels: int
    mutable_channel: SimpleMutableChannel
    normalized_fisher_info: Tensor
    delta_type: str
    per_sample = True

    def batch_fisher(self, num_samples: int) -> Tensor:
        """Return what the last step says of each channel [num_channels], float32."""
        raise NotImplementedError

    def reset_fisher_info(self) -> None:
        """Forget the statistics."""
        self.normalized_fisher_info.zero_()

    def importance(self) -> Tensor:
        """Return the importance of every channel [num_channels], infinite where already pruned."""
        pruned = ~self.mutable_channel.current_mask
        return self.normalized_fisher_info.masked_fill(pruned, float('inf'))

    def prune_lowest(self, count: int) -> None:
        """Mask the active channels of lowest importance.

        Args:
            count: how many.
        """
        order = self.importance().argsort(stable=True)[:count]
        self.mutable_channel.mask.index_fill_(0, order, 0.0)


class Resources(Protocol):
    """Costs of a structure as a function of its channel counts."""

    dense: dict[str, float]

    def evaluate(self, counts: dict[str, int]) -> dict[str, float]:
        """Return 'flops' and 'params' in millions."""

    def flops_per_channel(self, counts: dict[str, int]) -> dict[str, float]:
        """Return the multiply-accumulates that one channel of each unit costs."""

    def activations_per_channel(self) -> dict[str, float]:
        """Return the activations of one sample that one channel of each unit fills."""


class PruningDecisions:
    """Gathers the statistics of all units at once and prunes the least important channels.

    Attributes:
        mutable_units: the prunable units.
        resource: costs of a structure, None until they are measured.
        divisor: channel counts stay multiples of it.
        min_ratio: share of its channels that a unit keeps at least.
    """
    mutable_units: Sequence[FisherUnit]
    resource: Resources | None = None
    divisor: int = 1
    min_ratio: float = 0.0
    _skipped = 0
    _norm: dict[str, float]
    _norm_versions: list[int] | None = None

    def _mask_versions(self) -> list[int]:
        return [unit.mutable_channel.mask._version for unit in self.mutable_units]

    def _normalise(self) -> None:
        self._norm_versions = self._mask_versions()
        kinds = {unit.delta_type for unit in self.mutable_units}
        flops = self.resource.flops_per_channel(self.counts()) if 'flops' in kinds else {}
        acts = self.resource.activations_per_channel() if 'act' in kinds else {}
        worth = {'flops': (flops, 1e9), 'act': (acts, 1e6), 'none': ({}, 1.0)}
        self._norm = {}
        for unit in self.mutable_units:
            table, scale = worth[unit.delta_type]
            self._norm[unit.name] = (table.get(unit.name) or scale) / scale

    def counts(self) -> dict[str, int]:
        """Return the active channels of every prunable unit."""
        return {unit.name: int(unit.mutable_channel.activated_channels)
                for unit in self.mutable_units}

    @torch.no_grad()
    def copy_structure(self, other: PruningDecisions) -> None:
        """Take over the masks and statistics of the mutator of a model of the same kind."""
        for mine, theirs in zip(self.mutable_units, other.mutable_units):
            mine.mutable_channel.mask.copy_(theirs.mutable_channel.mask)
            mine.normalized_fisher_info.copy_(theirs.normalized_fisher_info)

    def hold_structure(self) -> None:
        """Restore what an optimizer step may have broken; nothing if layers leave channels out."""

    def current_ratio(self, resource_type: str = 'flops') -> float:
        """Return the share of the dense model's FLOPs or parameters that is left."""
        current = self.resource.evaluate(self.counts())
        return current[resource_type] / self.resource.dense[resource_type]

    def smallest_ratio(self) -> float:
        """Return the share of the FLOPs left with every unit pruned as far as it may be."""
        floors = {unit.name: self._candidate(unit, self.importances([unit])[0]).smallest()
                  for unit in self.mutable_units}
        return self.resource.evaluate(floors)['flops'] / self.resource.dense['flops']

    @torch.no_grad()
    def update_imp(self, num_samples: int, grad_scale: Tensor | float = 1.0) -> None:
        """Add the Fisher information of a step, summed over all ranks.

        Args:
            num_samples: samples of the step on this rank.
            grad_scale: factor on the loss (mixed precision) that the gradients still hold.
        """
        if self._norm_versions != self._mask_versions():
            self._normalise()
        infos = [unit.batch_fisher(num_samples) for unit in self.mutable_units]
        factor = grad_scale * dist.get_world_size()
        flat = torch.cat([info / factor ** (2 if unit.per_sample else 1)
                          for unit, info in zip(self.mutable_units, infos)])
        # An overflowing mixed-precision step is dropped by the optimizer: drop its statistics too.
        flat = torch.where(torch.isfinite(flat).all(), flat, torch.zeros_like(flat))
        dist.all_reduce(flat)
        for unit, info in zip(self.mutable_units, flat.split([info.numel() for info in infos])):
            info = info if unit.per_sample else info.square()
            unit.normalized_fisher_info += info / self._norm[unit.name]

    def reset_imp(self) -> None:
        """Forget the statistics of all units."""
        for unit in self.mutable_units:
            unit.reset_fisher_info()

    def importances(self, units: Sequence[FisherUnit]) -> list[Tensor]:
        """Return the ascending importance of the active channels of each unit, on the CPU."""
        return [unit.normalized_fisher_info[unit.mutable_channel.current_mask].sort()[0].cpu()
                for unit in units]

    def _divisor_of(self, unit: FisherUnit) -> int:
        return self.divisor

    def _candidate(self, unit: FisherUnit, scores: Tensor) -> Candidate:
        divisor = self._divisor_of(unit)
        floor = max(divisor, int(-(-unit.num_channels * self.min_ratio // 1)), 1)
        return Candidate(scores.numpy(), scores.numel(), floor, divisor)

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
        units = self.mutable_units
        scores = self.importances(units)
        broken = [unit.name for unit, score in zip(units, scores)
                  if not torch.isfinite(score).all()]
        if broken:
            self._skip(broken)
            return False
        self._skipped = 0
        candidates = {unit.name: self._candidate(unit, score)
                      for unit, score in zip(units, scores)}
        taken = select_blocks(candidates, enough)
        for unit in units:
            if unit.name in taken:
                unit.prune_lowest(taken[unit.name])
        return enough(self.counts())

    def _skip(self, broken: list[str]) -> None:
        self._skipped += 1
        message = (f'Fisher information of {len(broken)} units is not finite (first: {broken[0]}); '
                   f'pruning skipped, {self._skipped} in a row')
        if self._skipped >= MAX_SKIPPED:
            raise RuntimeError(f'{message}. The training diverges: lower lr_ratio in the config')
        print_log(message, logger='current', level=30)


def check_min_ratio(min_ratio: float) -> float:
    """Return a share in [0, 1), or raise a ValueError."""
    if not 0 <= min_ratio < 1:
        raise ValueError(f'min_ratio must lie in [0, 1), got {min_ratio}')
    return min_ratio
