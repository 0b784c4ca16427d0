"""GroupFisher over MMRazor's dynamic layers, and its distributed wrapper."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine import MessageHub
from mmengine.model import BaseModel, MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmrazor.models.algorithms.base import BaseAlgorithm
from mmrazor.registry import MODEL_WRAPPERS, MODELS
from torch import Tensor, nn

from razor_ext.pruning import Compressed
from razor_ext.structure.preprocessing import split_preprocessor
from razor_ext.structure.slicing import static_copy

from .decisions import PruningDecisions
from .loading import freeze_structure, load_pruned_weights
from .schedule import FlopsSchedule


@MODELS.register_module(force=True)
class GroupFisherAlgorithm(BaseAlgorithm):
    """GroupFisher pruning, https://arxiv.org/abs/2108.00708.

    Without `target_flop_ratio` one channel (or block of `divisor` channels) is pruned every
    `interval` iterations, as in MMRazor. With it, as many as the schedule asks for, so that the
    target is met whatever the length of the run.

    Args:
        architecture: the model to be pruned, or its config.
        mutator: the channel mutator, or its config.
        interval: iterations between two prunings.
        target_flop_ratio: share of the FLOPs to keep, in (0, 1).
        prune_begin: share of the run after which pruning starts.
        prune_end: share of the run by which the target is met; the rest recovers.
        data_preprocessor: the data preprocessor; None for the architecture's.
        init_cfg: initialisation config.
    """

    architecture: BaseModel

    def __init__(self,
                 architecture: BaseModel | dict,
                 mutator: PruningDecisions | dict | None = None,
                 interval: int = 10,
                 target_flop_ratio: float | None = None,
                 prune_begin: float = 0.0,
                 prune_end: float = 0.8,
                 data_preprocessor: nn.Module | dict | None = None,
                 init_cfg: dict | None = None) -> None:
        if isinstance(mutator, Mapping) and mutator['type'].endswith('GraphGroupFisherMutator'):
            raise ValueError(
                'GraphGroupFisherMutator is now an algorithm of its own: set '
                "type='mmrazor.GroupFisher' with target=dict(kind='macs', ratio=...), the settings "
                'of the mutator (divisor, min_ratio, keep, demo_input, normalization) beside it, '
                "and one hook, pruning=dict(type='mmrazor.PruningHook'), in default_hooks; see "
                'configs/pruning/_base_/group_fisher.py')
        architecture, data_preprocessor = split_preprocessor(architecture, data_preprocessor)
        super().__init__(architecture, data_preprocessor, init_cfg)
        if interval < 1:
            raise ValueError(f'interval must be at least 1 iteration, got {interval}')
        self.interval = interval
        self.schedule = None if target_flop_ratio is None else FlopsSchedule(
            target_flop_ratio, prune_begin, prune_end)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            self.architecture = nn.SyncBatchNorm.convert_sync_batchnorm(self.architecture)
        else:
            self.architecture = revert_sync_batchnorm(self.architecture)
        self.mutator = MODELS.build(mutator or dict(
            type='GroupFisherChannelMutator',
            channel_unit_cfg=dict(type='GroupFisherChannelUnit')))
        self.mutator.prepare_from_supernet(self.architecture)
        self._finished = False

    def load_run(self, checkpoint: str) -> None:
        """Load a checkpoint of a run, masks included; see `load_pruned_weights`."""
        self.init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
        load_pruned_weights(self)

    def compressed(self) -> Compressed:
        """Return the static pruned model, whatever target the run had."""
        data = self.mutator.sample_maker().get_data(self.architecture)
        structure = self.mutator.counts()
        freeze_structure(self.architecture)
        self.architecture.data_preprocessor = self.data_preprocessor
        return Compressed(static_copy(self.architecture).eval(), structure, [], data)

    def finish_pruning(self) -> None:
        """Keep the structure as it is from now on."""
        self._finished = True

    def measure_resource(self, demo_input: Any | None = None) -> None:
        """Learn how FLOPs follow from the channel counts, on one sample.

        Args:
            demo_input: makes the sample; None for the one that the units were found with.

        Raises:
            ValueError: the target lies below what pruning can reach.
        """
        data = self.mutator.sample_maker(demo_input).get_data(self.architecture)
        device = next(self.architecture.parameters()).device
        data = BaseModel.cast_data(self.data_preprocessor, data) if device.type != 'cpu' else data
        forward: Callable[[], Any] = (lambda: self.architecture(**data)) \
            if isinstance(data, Mapping) else (lambda: self.architecture(data))
        self.mutator.measure_resource(self.architecture, forward)
        if self.schedule is not None:
            smallest = self.mutator.smallest_ratio()
            if smallest > self.schedule.target:
                raise ValueError(
                    f'target_flop_ratio={self.schedule.target} cannot be met: with every unit at '
                    f'its smallest {smallest:.4f} of the FLOPs are left (divisor '
                    f'{self.mutator.divisor}, min_ratio {self.mutator.min_ratio}). Raise the '
                    'target, or lower divisor or min_ratio')

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Train one iteration and prune if it is time to.

        Args:
            data: a batch of the dataloader.
            optim_wrapper: the optimizer.

        Returns:
            Losses to log.
        """
        return self.recorded_step(super().train_step, data, optim_wrapper)

    def recorded_step(self, step: Callable[..., dict[str, Tensor]], data: Any,
                      optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Run a training step with its statistics recorded, then prune if it is time to.

        Args:
            step: the train_step to run: the model's or a distributed wrapper's.
            data: a batch of the dataloader.
            optim_wrapper: the optimizer.

        Returns:
            Losses to log.
        """
        if self._finished:
            return step(data, optim_wrapper)
        if self.mutator.resource is None:
            self.measure_resource()
        self.mutator.start_record_info()
        # The scale is read before the step, which may change it.
        scaler = getattr(optim_wrapper, 'loss_scaler', None)
        scale = scaler.get_scale() if scaler is not None else 1.0
        losses = step(data, optim_wrapper)
        self.mutator.end_record_info()
        self.mutator.update_imp(_num_samples(data), scale)
        self.mutator.reset_recorded_info()
        self._prune_if_due()
        return losses

    def _prune_if_due(self) -> None:
        hub = MessageHub.get_current_instance()
        iteration, max_iters = hub.get_info('iter'), hub.get_info('max_iters')
        if self.schedule is None:
            due = iteration % self.interval == 0
            if due:
                self.mutator.try_prune()
        else:
            last = max(int(self.schedule.end * max_iters) - 1, 0)
            due = iteration <= last and (iteration % self.interval == 0 or iteration == last)
            if due:
                self.mutator.prune_to(
                    self.schedule.ratio(1.0 if iteration == last else iteration / max_iters))
        if due:
            self.mutator.reset_imp()


def _num_samples(data: Any) -> int:
    """Return the number of samples in a batch of the dataloader."""
    inputs = data['inputs'] if isinstance(data, Mapping) else data[0]
    return len(inputs)


@MODEL_WRAPPERS.register_module(force=True)
class GroupFisherDDP(MMDistributedDataParallel):
    """Distributed wrapper of GroupFisher.

    MMRazor's calls the wrapped module directly, so gradients are never averaged. Here the step goes
    through DistributedDataParallel's own forward.
    """

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Train one iteration over all ranks and prune if it is time to.

        Args:
            data: this rank's batch.
            optim_wrapper: the optimizer.

        Returns:
            Losses to log.
        """
        return self.module.recorded_step(super().train_step, data, optim_wrapper)
