"""Hooks of a GroupFisher run: structure, resources, and the checkpoints at the thresholds."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmrazor.models.task_modules.demo_inputs import BaseDemoInput
from mmrazor.registry import HOOKS, TASK_UTILS

from razor_ext.engine.atomic import atomic_write
from razor_ext.engine.finite import StatisticsGuard
from razor_ext.engine.run_models import averaged_models, unwrapped
from razor_ext.pruning import TargetMissedError

from .algorithm import GroupFisherAlgorithm


def algorithm_of(runner: Runner) -> GroupFisherAlgorithm:
    """Return the GroupFisher algorithm that a runner trains.

    Raises:
        TypeError: the model is something else.
    """
    model = unwrapped(runner.model)
    if not isinstance(model, GroupFisherAlgorithm):
        raise TypeError(f'this hook belongs to a GroupFisherAlgorithm, not to a '
                        f'{type(model).__name__}; remove it from custom_hooks')
    return model


@HOOKS.register_module(force=True)
class PruningStructureHook(Hook):
    """Logs the channels left in every unit, as text and as scalars of the visualizer.

    Args:
        by_epoch: whether `interval` counts epochs; else iterations.
        interval: how often.
    """

    of_compression = True

    def __init__(self, by_epoch: bool = True, interval: int = 1) -> None:
        self.by_epoch = by_epoch
        self.interval = interval

    def before_train(self, runner: Runner) -> None:
        """Guard the running statistics."""
        StatisticsGuard(algorithm_of(runner).architecture)

    @master_only
    def _show(self, runner: Runner) -> None:
        mutator = algorithm_of(runner).mutator
        counts = mutator.counts()
        total = sum(unit.num_channels for unit in mutator.mutable_units)
        lines = [f'{unit.name}: {counts[unit.name]}/{unit.num_channels}'
                 for unit in mutator.mutable_units]
        print_log(f'channels left: {sum(counts.values())}/{total}\n  ' + '\n  '.join(lines),
                  logger='current')
        runner.visualizer.add_scalar('prune/channels_left', sum(counts.values()) / total,
                                     step=runner.iter)

    def after_train_epoch(self, runner: Runner) -> None:
        """Log at the end of an epoch."""
        if self.by_epoch and self.every_n_epochs(runner, self.interval):
            self._show(runner)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Log after an iteration."""
        if not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self._show(runner)


def _sync_averaged_structure(runner: Runner) -> None:
    """Give the structure to an averaged model: averaging masks would bring pruned channels back."""
    mutator = algorithm_of(runner).mutator
    for average in averaged_models(runner):
        assert isinstance(average, GroupFisherAlgorithm)  # a copy of the model
        average.mutator.copy_structure(mutator)


def checkpoint_names(resource_type: str, thresholds: Sequence[float]) -> dict[float, str]:
    """Return a file name for each threshold: two decimals, more where two would collide.

    Args:
        resource_type: 'flops' or 'params'.
        thresholds: shares of the dense model.

    Returns:
        threshold -> file name, all different.
    """
    for digits in range(2, 17):
        names = {thr: f'{resource_type}_{thr:.{digits}f}.pth' for thr in thresholds}
        if len(set(names.values())) == len(thresholds):
            return names
    raise ValueError(f'save_ckpt_thr holds a threshold twice: {list(thresholds)}')


@HOOKS.register_module(force=True)
class ResourceInfoHook(Hook):
    """Follows the resources left, saves a checkpoint at each threshold, ends the run at the last.

    Args:
        demo_input: makes the sample on which resources are measured, or its config.
        interval: iterations between two looks.
        resource_type: 'flops' or 'params'.
        save_ckpt_thr: shares of the dense model at which a checkpoint is saved.
        early_stop: whether the run ends, after its epoch, once all are saved.
    """

    of_compression = True

    def __init__(self,
                 demo_input: BaseDemoInput | dict | None = None,
                 interval: int = 10,
                 resource_type: str = 'flops',
                 save_ckpt_thr: Sequence[float] = (0.5, ),
                 early_stop: bool = True) -> None:
        if resource_type not in ('flops', 'params'):
            raise ValueError(f"resource_type must be 'flops' or 'params', got {resource_type!r}")
        if isinstance(demo_input, dict):
            demo_input = TASK_UTILS.build(demo_input)
        self.demo_input = demo_input
        self.interval = interval
        self.resource_type = resource_type
        self.early_stop = early_stop
        self.names = checkpoint_names(resource_type, save_ckpt_thr)
        self.pending = sorted(save_ckpt_thr, reverse=True)

    def before_run(self, runner: Runner) -> None:
        """Measure the dense model."""
        algorithm = algorithm_of(runner)
        algorithm.measure_resource(self.demo_input)
        print_log(f'dense model: {algorithm.mutator.resource.dense}', logger='current')

    def before_train(self, runner: Runner) -> None:
        """Skip the thresholds that a resumed run has its checkpoints of."""
        ratio = self._ratio(runner)
        self.pending = [thr for thr in self.pending
                        if ratio > thr or not self._path(runner, thr).is_file()]
        self._finish_pruning_if_done(runner)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Save what the last pruning has reached."""
        _sync_averaged_structure(runner)
        if not self.pending or (runner.iter % self.interval and not self._last_iter(runner)):
            return
        ratio = self._ratio(runner)
        runner.visualizer.add_scalar(f'prune/{self.resource_type}_left', ratio, step=runner.iter)
        while self.pending and ratio <= self.pending[0]:
            self._save(runner, self.pending.pop(0), ratio)
        if self._finish_pruning_if_done(runner):
            runner.train_loop.stop_training = True

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        """Log the resources left."""
        mutator = algorithm_of(runner).mutator
        print_log(f'resources left: {mutator.resource.evaluate(mutator.counts())} of '
                  f'{mutator.resource.dense}', logger='current')

    def after_train(self, runner: Runner) -> None:
        """Fail if a threshold was not reached.

        Raises:
            TargetMissedError: with the share that was reached.
        """
        if self.pending:
            raise TargetMissedError(
                f'training ended with {self._ratio(runner):.4f} of the {self.resource_type} left; '
                f'save_ckpt_thr={self.pending[0]} was not reached. The checkpoints are kept: '
                'resume with more epochs or a smaller interval, or set target_flop_ratio in the '
                'algorithm, which prunes as many channels per step as the run length needs')

    def _finish_pruning_if_done(self, runner: Runner) -> bool:
        done = not self.pending and self.early_stop
        if done:
            algorithm_of(runner).finish_pruning()
        return done

    def _ratio(self, runner: Runner) -> float:
        return algorithm_of(runner).mutator.current_ratio(self.resource_type)

    @staticmethod
    def _last_iter(runner: Runner) -> bool:
        return runner.iter + 1 >= runner.max_iters

    def _path(self, runner: Runner, threshold: float) -> Path:
        return Path(runner.work_dir) / self.names[threshold]

    def _save(self, runner: Runner, threshold: float, ratio: float) -> None:
        path = self._path(runner, threshold)
        if is_main_process():
            with atomic_write(path) as temporary:
                runner.save_checkpoint(str(temporary.parent), temporary.name, by_epoch=False)
        print_log(f'{ratio:.4f} of the {self.resource_type} left, checkpoint saved to {path}',
                  logger='current')
