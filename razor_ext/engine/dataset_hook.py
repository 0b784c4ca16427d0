"""A check of a run's data before they are used."""
from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn


class DatasetHook(Hook):
    """Looks at each data set before the loop that reads it."""

    def check(self, model: nn.Module, dataset: Any, loader: str) -> None:
        """Refuse a data set that does not fit the model.

        Args:
            model: of the run, wrapped as it trains.
            dataset: of the loader.
            loader: name of the loader, for the message.
        """
        raise NotImplementedError

    def before_train(self, runner: Runner) -> None:
        """Check the training set."""
        self.check(runner.model, runner.train_dataloader.dataset, 'train_dataloader')

    def before_val(self, runner: Runner) -> None:
        """Check the validation set."""
        self.check(runner.model, runner.val_dataloader.dataset, 'val_dataloader')

    def before_test(self, runner: Runner) -> None:
        """Check the test set."""
        self.check(runner.model, runner.test_dataloader.dataset, 'test_dataloader')
