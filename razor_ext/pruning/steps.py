"""How many steps of a run have really trained."""
from __future__ import annotations

from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch.optim import Optimizer

from .errors import NothingTrainedError


class StepWatch:
    """Counts the iterations in which an optimizer took a step.

    The loss scaler of mixed precision leaves a step out where gradients are not finite, either by
    not calling the optimizer, or, where a fused one is told instead, by lowering the scale alone.

    Args:
        optim_wrapper: of the run.
        iteration: iterations that a resumed run has behind it; they count as trained.

    Attributes:
        trained: iterations in which something was trained.
    """

    def __init__(self, optim_wrapper: OptimWrapper | OptimWrapperDict, iteration: int = 0) -> None:
        self.trained, self._called, self._scale = iteration, False, 0.0
        wrappers = ([wrapper for _, wrapper in optim_wrapper.items()]
                    if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper])
        for wrapper in wrappers:
            wrapper.optimizer.register_step_post_hook(self._step)

    def _step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._called = True

    def close(self, scale: float) -> None:
        """Count the iteration that has ended, if one has.

        Args:
            scale: the loss scale now, 1 without a scaler.
        """
        self.trained += self._called and scale >= self._scale
        self._called, self._scale = False, scale


def check_trained(iterations: int, trained: int) -> None:
    """Refuse a run that has learned nothing.

    Args:
        iterations: of the run.
        trained: those of them that have trained.

    Raises:
        NothingTrainedError: there was none.
    """
    if not iterations:
        raise NothingTrainedError('the run had no iteration, so nothing was trained and nothing is '
                                  'written: look at train_cfg and the length of the dataset')
    if trained <= 0:
        raise NothingTrainedError(
            f'every step of the {iterations} iterations was skipped, since gradients were NaN or '
            'infinite: nothing was trained and nothing is written. Lower optim_wrapper.lr_ratio, '
            'clip gradients (optim_wrapper.clip_grad), or look for the fault in the data or loss')
