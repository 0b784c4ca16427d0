"""Pictures during training and testing."""
from __future__ import annotations

import json
import os
from pathlib import Path

from mmengine.dist import master_only
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from razor_ext.registry import HOOKS, keep_root_names

from .datasets import GaitDataset
from .visualization import condition_rows, silhouette_strip, view_chart


@HOOKS.register_module()
class GaitVisualizationHook(Hook):
    """Logs a strip of silhouettes per condition, and rank-1 by view after each evaluation.

    The pictures go to the runner's visualizer; the figures behind the chart are also written as
    ``rank1_by_view.json`` into the run's log directory.

    Args:
        frames (int): Frames in the strip; 0 leaves the strip out.
    """

    def __init__(self, frames: int = 12) -> None:
        self.frames = frames

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Log the strip of the training set."""
        dataset = runner.train_dataloader.dataset
        if self.frames and isinstance(dataset, GaitDataset):
            strip = silhouette_strip(condition_rows(dataset), self.frames)
            runner.visualizer.add_image('silhouettes', strip, step=runner.iter)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Log the chart of a validation."""
        self._log(runner, runner.val_evaluator)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Log the chart of a test."""
        self._log(runner, runner.test_evaluator)

    @master_only
    def _log(self, runner: Runner, evaluator: Evaluator) -> None:
        for metric in evaluator.metrics:
            figures = getattr(metric, 'view_figures', None)
            if figures:
                runner.visualizer.add_image('rank1_by_view', view_chart(figures),
                                            step=_iteration(runner))
                path = Path(runner.log_dir) / 'rank1_by_view.json'
                path.with_suffix('.tmp').write_text(json.dumps(figures, indent=1))
                os.replace(path.with_suffix('.tmp'), path)


def _iteration(runner: Runner) -> int:
    """Iterations trained; `runner.iter` would build the training set, which a test may lack."""
    loop = runner._train_loop
    return loop.iter if isinstance(loop, BaseLoop) else 0


keep_root_names(__name__)
