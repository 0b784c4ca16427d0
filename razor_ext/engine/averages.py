"""Averages of the weights (EMA) that a run keeps."""
from __future__ import annotations

from collections.abc import Iterator

from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def averaged_models(runner: Runner) -> Iterator[nn.Module]:
    """Yield the averaged copies of the model that a runner trains."""
    for hook in runner.hooks:
        if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model'):
            average = hook.ema_model.module
            yield average.module if is_model_wrapper(average) else average
