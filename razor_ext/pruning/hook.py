"""The hook of a pruning run: drives the algorithm, reports, and writes the compressed model."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmrazor.registry import HOOKS

from razor_ext.engine.finite import StatisticsGuard
from razor_ext.engine.run_models import averaged_models, unwrapped
from razor_ext.structure.dense_config import dense_config
from razor_ext.structure.folder import FOLDER

from .algorithm import PruningAlgorithm
from .steps import StepWatch, check_trained


def algorithm_of(runner: Runner) -> PruningAlgorithm:
    """Return the pruning algorithm that a runner trains.

    Raises:
        TypeError: the model is something else.
    """
    model = unwrapped(runner.model)
    if not isinstance(model, PruningAlgorithm):
        raise TypeError(f'this hook belongs to a pruning algorithm over the dependency graph, not '
                        f'to a {type(model).__name__}; remove it from the hooks of the config')
    return model


def averages_of(runner: Runner) -> Iterator[PruningAlgorithm]:
    """Yield the averaged copies of the pruning algorithm that a runner trains."""
    for average in averaged_models(runner):
        assert isinstance(average, PruningAlgorithm)  # a copy of the model
        yield average


@HOOKS.register_module(name=['PruningHook', 'GETAHook'])
class PruningHook(Hook):
    """Tells the algorithm of each step, reports progress, and writes the compressed model.

    After the last step the result is checked against the target, and rank 0 writes
    `<work_dir>/compressed`. Averaged models (EMA) are kept compressed at every step, and are what
    is written where there is one.

    Args:
        interval: iterations between two reports.
        stop_when_pruned: end the run, after its epoch, once nothing further is pruned; what is left
            of it would only train on.
    """

    of_compression = True
    # After EMAHook, before checkpoints are saved.
    priority = 'BELOW_NORMAL'

    def __init__(self, interval: int = 50, stop_when_pruned: bool = False) -> None:
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(f'interval={interval!r} must be a positive number of iterations')
        self.interval, self.stop_when_pruned = interval, stop_when_pruned
        self._config: Config | None = None

    def before_run(self, runner: Runner) -> None:
        """Let the algorithm prepare against the length of the run.

        Raises:
            ValueError: its stages are longer than the run, or the optimizer does not fit it.
        """
        algorithm = algorithm_of(runner)
        if isinstance(runner.cfg.get('model'), Mapping):  # else the model was built elsewhere
            self._config = dense_config(runner.cfg)
        print_log(algorithm.start(runner.optim_wrapper, runner.max_iters), logger='current')

    def before_train(self, runner: Runner) -> None:
        """Watch optimizer and statistics from here on; a checkpoint is loaded by now.

        Raises:
            ValueError: a layer that would be pruned is frozen.
        """
        algorithm_of(runner).check_trains()
        self._watch = StepWatch(runner.optim_wrapper, runner.iter)
        StatisticsGuard(algorithm_of(runner).architecture)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Tell the algorithm of the step to come."""
        # The scale is read before the step, which may change it.
        scale = _loss_scale(runner)
        self._watch.close(scale)
        algorithm_of(runner).before_step(runner.iter, runner.max_iters, scale)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Tell the algorithm of the step, keep averages compressed, report."""
        algorithm = algorithm_of(runner)
        algorithm.after_step(runner.iter, runner.max_iters, _num_samples(data_batch))
        for average in averages_of(runner):
            algorithm.follow(average, runner.optim_wrapper)
        last = runner.iter + 1 == runner.max_iters
        if self.every_n_train_iters(runner, self.interval) or last:
            self._report(runner, algorithm)
        if self.stop_when_pruned and algorithm.is_pruned(runner.iter, runner.max_iters):
            runner.train_loop.stop_training = True

    def after_train(self, runner: Runner) -> None:
        """Check the result and write it.

        Raises:
            NothingTrainedError: there was no step, or every one was skipped.
            TargetMissedError: the target was missed, and by how much.
        """
        algorithm = algorithm_of(runner)
        self._watch.close(_loss_scale(runner))
        check_trained(runner.iter, algorithm.trained_steps(runner.optim_wrapper,
                                                           self._watch.trained))
        compressed = algorithm.compressed(next(averages_of(runner), None))
        if is_main_process():
            compressed.write(Path(runner.work_dir) / FOLDER, self._config)

    def _report(self, runner: Runner, algorithm: PruningAlgorithm) -> None:
        if not is_main_process():
            return
        scalars = algorithm.progress(runner.optim_wrapper)
        runner.visualizer.add_scalars({f'{algorithm.title}/{name}': value
                                       for name, value in scalars.items()}, step=runner.iter + 1)
        stage = algorithm.stage(runner.optim_wrapper)
        print_log((f'{stage}: ' if stage else '') + ', '.join(
            f'{name} {value:.4g}' for name, value in scalars.items()), logger='current')


def _loss_scale(runner: Runner) -> float:
    scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
    return 1.0 if scaler is None else scaler.get_scale()


def _num_samples(batch: Any) -> int:
    """Return the number of samples in a batch of the dataloader."""
    inputs = batch['inputs'] if isinstance(batch, Mapping) else batch[0]
    return len(inputs)
