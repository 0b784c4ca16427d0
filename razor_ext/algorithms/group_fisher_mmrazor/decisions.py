"""What GroupFisher decides from the statistics of MMRazor's units."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from mmengine import dist
from mmengine.logging import print_log
from mmrazor.models.mutables import SimpleMutableChannel
from torch import Tensor

from razor_ext.pruning import Chooser, CostTarget

#: Prunings in a row that may be skipped because statistics are not finite.
MAX_SKIPPED = 10


class FisherUnit:
    """What a channel unit holds and is asked.

    Attributes:
        name: MMRazor's unit name.
        num_channels: channels before pruning.
        mutable_channel: the mask of the channels.
        normalized_fisher_info: statistics since the last pruning [num_channels].
        delta_type: what they are divided by: 'flops', 'act' or 'none'.
    """
    name: str
    num_channels: int
    mutable_channel: SimpleMutableChannel
    normalized_fisher_info: Tensor
    delta_type: str

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

    def prune(self, channels: Tensor) -> None:
        """Mask channels, bool [num_channels]."""
        self.mutable_channel.mask.masked_fill_(channels.to(self.mutable_channel.mask.device), 0.0)


class Resources(Protocol):
    """Costs of a structure as a function of its channel counts."""

    dense: dict[str, float]

    def evaluate(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Return 'flops' and 'params' in millions."""

    def flops_per_channel(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Return the multiply-accumulates that one channel of each unit costs."""

    def activations_per_channel(self) -> dict[str, float]:
        """Return the activations of one sample that one channel of each unit fills."""


class PruningDecisions:
    """Gathers the statistics of all units at once and prunes the least important channels.

    Attributes:
        resource: costs of a structure, None until they are measured.
        divisor: channel counts stay multiples of it.
        min_ratio: share of its channels that a unit keeps at least.
    """
    resource: Resources | None = None
    divisor: int = 1
    min_ratio: float = 0.0
    _skipped = 0
    _norm: dict[str, float]
    _norm_versions: list[int] | None = None

    @property
    def mutable_units(self) -> Sequence[FisherUnit]:
        """Prunable units."""
        raise NotImplementedError

    def _mask_versions(self) -> list[int]:
        return [unit.mutable_channel.mask._version for unit in self.mutable_units]

    def _resources(self) -> Resources:
        if self.resource is None:
            raise RuntimeError('costs have not been measured: call measure_resource() first')
        return self.resource

    def _normalise(self) -> None:
        self._norm_versions = self._mask_versions()
        kinds = {unit.delta_type for unit in self.mutable_units}
        flops = self._resources().flops_per_channel(self.counts()) if 'flops' in kinds else {}
        acts = self._resources().activations_per_channel() if 'act' in kinds else {}
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

    def current_ratio(self, resource_type: str = 'flops') -> float:
        """Return the share of the dense model's FLOPs or parameters that is left."""
        resource = self._resources()
        return resource.evaluate(self.counts())[resource_type] / resource.dense[resource_type]

    def smallest_ratio(self) -> float:
        """Return the share of the FLOPs left with every unit pruned as far as it may be."""
        resource = self._resources()
        return resource.evaluate(self.chooser().smallest)['flops'] / resource.dense['flops']

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
        flat = torch.cat([info / factor ** 2 for info in infos])
        # An overflowing mixed-precision step is dropped by the optimizer: drop its statistics too.
        flat = torch.where(torch.isfinite(flat).all(), flat, torch.zeros_like(flat))
        dist.all_reduce(flat)
        for unit, info in zip(self.mutable_units, flat.split([info.numel() for info in infos])):
            unit.normalized_fisher_info += info / self._norm[unit.name]

    def reset_imp(self) -> None:
        """Forget the statistics of all units."""
        for unit in self.mutable_units:
            unit.reset_fisher_info()

    def chooser(self) -> Chooser:
        """Return what chooses channels under the divisor and the floors."""
        units = self.mutable_units
        return Chooser([unit.name for unit in units], [unit.num_channels for unit in units],
                       self.divisor, {unit.name: max(math.ceil(unit.num_channels * self.min_ratio),
                                                     1) for unit in units})

    def prune_to(self, ratio: float) -> bool:
        """Prune the least important channels until a share of the FLOPs is left.

        Args:
            ratio: share of the dense model's FLOPs to keep.

        Returns:
            Whether that share, or less, is now left.
        """
        def choose(scores: np.ndarray, pruned: np.ndarray) -> np.ndarray:
            target = CostTarget(ratio, lambda counts: self._resources().evaluate(counts)['flops'],
                                per_cost=False, give_back=False)
            chooser = self.chooser()
            target.prepare(chooser)
            return target.choose_at(chooser, scores, pruned, 1.0)

        return self._prune(choose) and self.current_ratio() <= ratio

    def try_prune(self) -> bool:
        """Prune the single least important channel, or block of `divisor` channels."""
        before = self.counts()
        return self._prune(self.chooser().choose_next) and self.counts() != before

    def _prune(self, choose: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> bool:
        units = self.mutable_units
        scores = [unit.normalized_fisher_info.cpu() for unit in units]
        masks = [unit.mutable_channel.current_mask.cpu() for unit in units]
        broken = [unit.name for unit, score, mask in zip(units, scores, masks)
                  if not torch.isfinite(score[mask]).all()]
        if broken:
            self._skip(broken)
            return False
        self._skipped = 0
        chosen = choose(torch.cat(scores).double().numpy(), (~torch.cat(masks)).numpy())
        for unit, part in zip(units, torch.from_numpy(chosen).split([len(m) for m in masks])):
            if part.any():
                unit.prune(part)
        return True

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
