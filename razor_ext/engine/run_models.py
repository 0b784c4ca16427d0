"""The models that a run holds: the one it trains, and averages of its weights (EMA)."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside a wrapper for distributed training; itself where there is none."""
    return model.get_submodule('module') if is_model_wrapper(model) else model


def averaged_models(runner: Runner) -> Iterator[nn.Module]:
    """Yield the averaged copies of the model that a runner trains."""
    for hook in runner.hooks:
        if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model'):
            yield unwrapped(hook.ema_model.module)


class ArchitectureParts(nn.Module):
    """Mixin of what trains an `architecture`: shows its parts as parts of its own."""

    def __getattr__(self, name: str) -> Any:
        """Return a part of the architecture, which hooks of the dense training look for here."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            architecture = self.__dict__.get('_modules', {}).get('architecture')
            if architecture is None or architecture._modules.get(name) is None:
                raise
            return architecture._modules[name]
