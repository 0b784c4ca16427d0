"""Hooks of a GETA run: stages, calibration, progress, and the files at the end."""
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmrazor.registry import HOOKS

from razor_ext.engine.averages import averaged_models
from razor_ext.quantization import CalibrationHook, quantizer_handles

from .algorithm import GETA
from .costs import StructureCosts, mean_bits, present_bits
from .export import check_target, compress, finished_copy, write_files
from .projection import BitBank
from .sparse_optimizer import GroupSparseOptimizer
from .stages import BitRange, StagePlan


def algorithm_of(runner: Runner) -> GETA:
    """Return the GETA algorithm that a runner trains.

    Raises:
        TypeError: the model is something else.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if not isinstance(model, GETA):
        raise TypeError(f'this hook belongs to a model of type GETA, not to a '
                        f'{type(model).__name__}; remove it from custom_hooks')
    return model


@HOOKS.register_module()
class GETACalibrationHook(CalibrationHook):
    """`CalibrationHook` for a GETA run, where pruning alone needs no calibration.

    The batches come from a dataloader of their own, so that training sees the same ones whether it
    was calibrated (a new run) or not (a resumed one).
    """

    of_compression = True

    def before_train(self, runner: Runner) -> None:
        """Calibrate, if anything is quantized."""
        if algorithm_of(runner).quant_config is not None:
            super().before_train(runner)

    def _batches(self, dataloader: Any) -> Iterator[Any]:
        own = Runner.build_dataloader(self._config, seed=self._seed)
        yield from super()._batches(own)

    def before_run(self, runner: Runner) -> None:
        """Remember how the training dataloader is built."""
        self._config, self._seed = runner.cfg.train_dataloader, runner.seed


@HOOKS.register_module()
class GETAHook(Hook):
    """Gives the optimizer its stages, reports progress, and writes the compressed model.

    After the last step the result is checked (exactly as many zero groups as asked for, or the cost
    met; whole bit widths inside their ranges) and rank 0 writes `fix_subnet.json`, `quant.json` and
    `compressed.pth` into the work directory. Averaged models (EMA) are kept pruned and inside the
    bit ranges at every step, and are what is written where there is one.

    Args:
        interval: iterations between two reports.
    """

    of_compression = True

    # After EMAHook, before checkpoints are saved.
    priority = 'BELOW_NORMAL'

    def __init__(self, interval: int = 50) -> None:
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(f'interval={interval!r} must be a positive number of iterations')
        self.interval = interval
        self._costs: StructureCosts | None = None
        self._averages: list[tuple] | None = None

    def before_run(self, runner: Runner) -> None:
        """Resolve the stages against the length of the run.

        Raises:
            ValueError: the stages are longer than the run, or the optimizer wrapper is not a single
                one.
        """
        algorithm, wrapper = algorithm_of(runner), runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper):
            raise ValueError(f'GETA needs one optimizer, not a {type(wrapper).__name__}')
        steps = math.ceil(runner.max_iters / wrapper._accumulative_counts)
        plan = algorithm.stages.resolve(steps)
        if isinstance(wrapper.optimizer, GroupSparseOptimizer):
            wrapper.optimizer.set_plan(plan)
        print_log(_describe(plan), logger='current')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Keep averages compressed; report."""
        optimizer = runner.optim_wrapper.optimizer
        if isinstance(optimizer, GroupSparseOptimizer) and optimizer.steps:
            for index, bank in self._averaged(runner):
                if bank is None:
                    optimizer.constrain_(index)
                else:
                    optimizer.constrain_(index, bank)
        if self.every_n_train_iters(runner, self.interval) or runner.iter + 1 == runner.max_iters:
            self._report(runner)

    def after_train(self, runner: Runner) -> None:
        """Check the result and write it.

        Raises:
            TargetMissedError: the target was missed, and by how much.
        """
        algorithm = algorithm_of(runner)
        averages = list(averaged_models(runner))
        model = finished_copy(algorithm, averages[0].state_dict() if averages else None)
        pruned = check_target(algorithm, model)
        if is_main_process():
            write_files(compress(algorithm, model, pruned), algorithm, runner.work_dir)

    def _averaged(self, runner: Runner) -> list[tuple]:
        """Groups and quantizers of every averaged model."""
        if self._averages is None:
            self._averages = []
            for average in averaged_models(runner):
                index = None if average.target_cfg is None else \
                    average.mutator.group_index(average.architecture)
                handles = quantizer_handles(average.architecture)
                bank = BitBank(handles, BitRange(), BitRange(), average.bit_ranges()) \
                    if handles else None
                self._averages.append((index, bank))
        return self._averages

    def _report(self, runner: Runner) -> None:
        if not is_main_process():
            return
        algorithm = algorithm_of(runner)
        if self._costs is None:
            self._costs = StructureCosts(algorithm.architecture, algorithm.mutator)
        index = algorithm.mutator.group_index(algorithm.architecture)
        zeros = index.zeros().cpu()
        counts = {name: int(mask.sum()) for name, mask in index.keep_masks(zeros).items()}
        bits = present_bits(algorithm.architecture)
        summary = self._costs.summary(counts, bits)
        scalars = {'sparsity': float(zeros.float().mean()),
                   **mean_bits(self._costs.layers(counts), bits),
                   'macs': summary['macs'], 'bops': summary['bops'],
                   'relative_bops': summary['relative_bops'], 'params': summary['params']}
        optimizer = runner.optim_wrapper.optimizer
        stage = ''
        if isinstance(optimizer, GroupSparseOptimizer):
            stage = f'{optimizer.stage}: '
            scalars['skipped_steps'] = optimizer.skipped_steps
        runner.visualizer.add_scalars({f'geta/{name}': value for name, value in scalars.items()},
                                      step=runner.iter + 1)
        print_log(stage + ', '.join(f'{name} {value:.4g}' for name, value in scalars.items()),
                  logger='current')


def _describe(plan: StagePlan) -> str:
    return (f'stages in optimizer steps: warm-up from 0, projection from {plan.warmup} '
            f'({plan.projection_periods} stairs), joint from {plan.pruning_start} '
            f'({plan.pruning_periods} periods of {plan.period}), cool-down from '
            f'{plan.pruning_stop} to {plan.total}')
