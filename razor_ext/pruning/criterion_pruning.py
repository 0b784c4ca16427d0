"""Algorithms that prune by a criterion on a schedule, with any optimizer."""
from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import broadcast
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from .algorithm import PruningAlgorithm, state_subset
from .criterion import Criterion
from .masks import ChannelMasks
from .schedule import PruneSchedule

#: Prunings in a row that may be skipped because scores are not finite.
MAX_SKIPPED = 10


class CriterionPruning(PruningAlgorithm):
    """Prunes the channels of lowest score, at once or step by step, and holds them at zero.

    Channels are masked in place: the layers stay as they are, and any optimizer trains them. Masks
    and statistics are buffers, so a checkpoint resumes. A subclass gives the criterion.

    Args:
        architecture: the dense model, or its config.
        schedule: arguments of `PruneSchedule`.
        kwargs: see `PruningAlgorithm`. Without a target a channel, or a block of `divisor`
            channels, is pruned at every interval of the schedule.

    Raises:
        ValueError: a bad setting, or a target that is beyond reach.

    Example:
        >>> @MODELS.register_module()
        ... class NormPruning(CriterionPruning):
        ...     def build_criterion(self):
        ...         return Norm()
    """

    _driven = False

    def __init__(self, architecture: nn.Module | dict, schedule: Mapping[str, Any] | None = None,
                 **kwargs: Any) -> None:
        super().__init__(architecture, **kwargs)
        self.schedule = PruneSchedule(**(schedule or {}))
        self._chooser = self.mutator.chooser()
        self._target = self.build_target()
        if self._target is not None:
            self._target.prepare(self._chooser)
        self._skipped = 0
        self.register_load_state_dict_post_hook(_hold_loaded)

    def prepare(self) -> None:
        """Make masks and criterion."""
        self.masks = ChannelMasks(sum(self.mutator.choice_template.values()))
        self.criterion = self.build_criterion()
        self.criterion.prepare(self.architecture, self.mutator)

    def build_criterion(self) -> Criterion:
        """Make the criterion."""
        raise NotImplementedError

    def hold(self) -> None:
        """Set the pruned channels to zero."""
        self.masks.hold(self.architecture, self.mutator)

    def loss(self, inputs: Tensor, data_samples: list | None = None) -> dict[str, Tensor]:
        """Compute the losses of the task.

        Raises:
            RuntimeError: it is trained without its hook, and nothing would be pruned.
        """
        if self.training and torch.is_grad_enabled() and not self._driven:
            raise RuntimeError(f'{type(self).__name__} prunes nothing without its hook: add '
                               "pruning=dict(type='mmrazor.PruningHook') to default_hooks")
        return super().loss(inputs, data_samples)

    # ---- a run

    def start(self, optim_wrapper: OptimWrapper, max_iters: int) -> str:
        """Say when pruning begins and ends; see the base class."""
        schedule, self._driven = self.schedule, True
        return (f'{type(self).__name__}: pruning every {schedule.interval} iterations from '
                f'{int(schedule.begin * max_iters)} to {schedule.last(max_iters)} of {max_iters}')

    def before_step(self, iteration: int, max_iters: int, grad_scale: Tensor | float) -> None:
        """Record the step if pruning still goes on; see the base class."""
        super().before_step(iteration, max_iters, grad_scale)
        self._grad_scale = grad_scale
        self._recording = iteration <= self.schedule.last(max_iters)
        if self._recording:
            self.criterion.start_step()

    @torch.no_grad()
    def after_step(self, iteration: int, max_iters: int, num_samples: int) -> None:
        """Hold what is pruned, and prune if it is time to; see the base class."""
        self.criterion.end_step()
        self.hold()
        if not self._recording:
            return
        index = self.masks.index(self.architecture, self.mutator)
        self.criterion.record(index, self.masks.pruned, num_samples, self._grad_scale)
        progress = self.schedule.progress(iteration, max_iters)
        if self._target is None and iteration % self.schedule.interval:
            progress = None
        if progress is not None:
            self.prune_at(progress)
            self.criterion.reset()

    def is_pruned(self, iteration: int, max_iters: int) -> bool:
        """Whether the schedule is at its end; see the base class."""
        return iteration >= self.schedule.last(max_iters)

    @torch.no_grad()
    def prune_at(self, progress: float) -> None:
        """Prune up to a share of the way to the target.

        Args:
            progress: in [0, 1].

        Raises:
            RuntimeError: scores were not finite many times in a row.
        """
        index = self.masks.index(self.architecture, self.mutator)
        scores = self.criterion.scores(index).clone()
        broadcast(scores, src=0)
        if not self._finite(scores):
            return
        pruned = self.masks.pruned.cpu().numpy()
        values = scores.double().cpu().numpy()
        if self._target is None:
            chosen = self._chooser.choose_next(values, pruned)
        else:
            chosen = self._target.choose_at(self._chooser, values, pruned, progress)
        self.masks.add(torch.from_numpy(chosen))
        self.hold()

    def _finite(self, scores: Tensor) -> bool:
        finite = torch.isfinite(scores)
        if bool(finite.all()):
            self._skipped = 0
            return True
        self._skipped += 1
        message = (f'scores of {int((~finite).sum())} channels are not finite; pruning skipped, '
                   f'{self._skipped} in a row')
        if self._skipped >= MAX_SKIPPED:
            raise RuntimeError(f'{message}. The training diverges: lower optim_wrapper.lr_ratio')
        print_log(message, logger='current', level=logging.WARNING)
        return False

    def follow(self, average: PruningAlgorithm, optim_wrapper: OptimWrapper) -> None:
        """Give the masks to an averaged copy; see the base class."""
        super().follow(average, optim_wrapper)
        average.masks.pruned.copy_(self.masks.pruned)
        average.criterion.load_state_dict(self.criterion.state_dict())
        average.hold()

    # ---- what comes of it

    def pruned_channels(self, architecture: nn.Module) -> Tensor:
        """Return the masks; see the base class."""
        return self.masks.pruned.cpu()

    def run_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights, masks and statistics; see the base class."""
        return state_subset(state, list(self.state_dict()))


def _hold_loaded(algorithm: CriterionPruning, incompatible: Any) -> None:
    algorithm.hold()
