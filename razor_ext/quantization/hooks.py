"""Calibrate on the training set before the first step."""
from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mmengine.dist import broadcast, is_distributed
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from razor_ext.engine.run_models import unwrapped
from razor_ext.registry import HOOKS, keep_root_names

from .calibration import calibrate
from .convert import quantizer_handles
from .errors import QuantConfigError


@HOOKS.register_module()
class CalibrationHook(Hook):
    """Set the quantizers from the loaded weights and from training batches.

    Runs once the checkpoint is loaded, and does nothing where that held every grid (a resumed run).
    Ranks look at their own batches; rank 0's grids are sent to the others.

    Args:
        num_batches (int): Batches to look at.
        mode (str): Mode of the model's forward; 'loss' reaches all layers that train.
        method (str): 'minmax', 'percentile' or 'mse', for activations.
        weight_method (str): The same for weights.
        percentile (float): Share of the values kept by 'percentile', in %.
    """

    priority = 'VERY_HIGH'

    def __init__(self, num_batches: int = 8, mode: str = 'loss', method: str = 'mse',
                 weight_method: str = 'minmax', percentile: float = 99.99) -> None:
        if isinstance(num_batches, bool) or not isinstance(num_batches, int) or num_batches < 1:
            raise QuantConfigError(f'num_batches={num_batches!r} must be a positive integer')
        self.num_batches = num_batches
        self.mode = mode
        self.options: dict[str, Any] = {'method': method, 'weight_method': weight_method,
                        'percentile': percentile}

    def before_train(self, runner: Runner) -> None:
        """Calibrate, unless every quantizer is set."""
        model = unwrapped(runner.model)
        handles = quantizer_handles(model)
        if handles and all(handle.quantizer.calibrated for handle in handles):
            return
        print_log(f'calibrating {len(handles)} quantizers on {self.num_batches} batches',
                  logger='current')
        calibrate(model, self._batches(runner.train_dataloader), run=self._run, **self.options)
        if is_distributed():
            for handle in handles:
                for tensor in (*handle.quantizer.parameters(), *handle.quantizer.buffers()):
                    broadcast(tensor.data)
                handle.quantizer.sync_code()

    def _batches(self, dataloader: Any) -> Iterator[Any]:
        for index, batch in enumerate(islice(dataloader, self.num_batches)):
            yield batch
            print_log(f'calibrated {index + 1}/{self.num_batches}', logger='current')

    def _run(self, model: nn.Module, batch: Any) -> None:
        run_training_batch(model, batch, self.mode)


def run_training_batch(model: nn.Module, batch: Any, mode: str = 'loss') -> None:
    """Call an MMEngine model with a batch of its dataloader, prepared as for training.

    Args:
        model: the model.
        batch: of the dataloader.
        mode: of the model's forward; 'loss' reaches all layers that train.
    """
    preprocessor: Any = model.data_preprocessor
    data = preprocessor(batch, True)
    if isinstance(data, dict):
        model(**data, mode=mode)
    else:
        model(*data, mode=mode)


keep_root_names(__name__)
