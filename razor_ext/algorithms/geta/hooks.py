"""Calibration of a GETA run."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.runner import Runner
from mmrazor.registry import HOOKS

from razor_ext.pruning.hook import algorithm_of
from razor_ext.quantization import CalibrationHook


@HOOKS.register_module()
class GETACalibrationHook(CalibrationHook):
    """`CalibrationHook` for a GETA run, where pruning alone needs no calibration.

    The batches come from a dataloader of their own, so that training sees the same ones whether it
    was calibrated (a new run) or not (a resumed one).
    """

    def before_train(self, runner: Runner) -> None:
        """Calibrate, if anything is quantized."""
        if algorithm_of(runner).quantizes:
            super().before_train(runner)

    def _batches(self, dataloader: Any) -> Iterator[Any]:
        own = Runner.build_dataloader(self._config, seed=self._seed)
        yield from super()._batches(own)

    def before_run(self, runner: Runner) -> None:
        """Remember how the training dataloader is built."""
        self._config, self._seed = runner.cfg.train_dataloader, runner.seed
