"""The input that a model is traced on: asked for, its family's, or an image."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmrazor.models.algorithms.base import BaseAlgorithm
from mmrazor.models.task_modules.demo_inputs import BaseDemoInput
from mmrazor.registry import TASK_UTILS
from torch import nn

from razor_ext.engine.families import find_demo_input

#: Of a model that no family knows: one image of ImageNet's size, MMRazor's own default.
DEFAULT_SHAPE = (1, 3, 224, 224)


@TASK_UTILS.register_module()
class FamilyDemoInput(BaseDemoInput):
    """The input that the model's family gives; one image where no family knows the model.

    Args:
        training: Whether the data preprocessor prepares it for training.
        kwargs: Further arguments of the model's forward.
    """

    def __init__(self, training: bool = False, kwargs: Mapping[str, Any] | None = None) -> None:
        super().__init__(input_shape=None, training=training, kwargs=dict(kwargs or {}))

    def _get_data(self, model: nn.Module, input_shape: Sequence[int] | None,
                  training: bool) -> Any:
        if isinstance(model, BaseAlgorithm):
            model = model.architecture
        config = input_shape or find_demo_input(model) or DEFAULT_SHAPE
        return build_demo_input(config).get_data(model, training=training)


class GivenInput(BaseDemoInput):
    """An input that is there already.

    Args:
        data: Arguments of the model: a tensor, a tuple, or a mapping of keyword arguments.
    """

    def __init__(self, data: Any) -> None:
        super().__init__(input_shape=None)
        self._data = data

    def _get_data(self, model: nn.Module, input_shape: Sequence[int] | None,
                  training: bool) -> Any:
        return self._data


def build_demo_input(config: Sequence[int] | Mapping[str, Any] | BaseDemoInput | None = None
                     ) -> Any:
    """Build what makes the input that a model is traced on.

    Args:
        config: A shape [N, C, ...] with N = 1, the config of one of MMRazor's demo inputs, a demo
            input itself, or None for the input of the model's family.

    Returns:
        An object whose `get_data(model)` returns the model's arguments, its preprocessing done.

    Raises:
        TypeError: If it is neither.

    Example:
        >>> data = build_demo_input(None).get_data(model)   # a GaitRecognizer
        >>> tuple(data['inputs'].shape), data['mode']
        ((1, 1, 6, 64, 44), 'tensor')
    """
    if isinstance(config, BaseDemoInput):
        return config
    if config is None:
        config = dict(type='FamilyDemoInput')
    elif not isinstance(config, Mapping):
        if isinstance(config, str) or not isinstance(config, Sequence) or not all(
                isinstance(size, int) for size in config):
            raise TypeError(f'demo_input={config!r} must be a shape such as (1, 3, 256, 192), the '
                            "config of a demo input, or None for the family's own")
        config = dict(type='DefaultDemoInput', input_shape=tuple(config))
    return TASK_UTILS.build({'_scope_': 'mmrazor', **config})
