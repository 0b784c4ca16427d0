"""The input on which a model is traced."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmrazor.models.task_modules.demo_inputs import BaseDemoInput
from mmrazor.registry import TASK_UTILS

#: MMRazor's own default, [n, c, h, w]; the demo inputs of pose models take their codec's size.
DEFAULT_SHAPE = (1, 3, 224, 224)


def build_demo_input(config: Sequence[int] | Mapping | None = None) -> BaseDemoInput:
    """Build one of MMRazor's demo inputs.

    Args:
        config: a config, a shape with a batch of 1, or None for the default of the model.

    Returns:
        The demo input; `get_data(model)` makes the arguments of a call.

    Example:
        >>> build_demo_input((1, 3, 256, 192)).input_shape
        (1, 3, 256, 192)
    """
    if config is None:
        config = DEFAULT_SHAPE
    if not isinstance(config, Mapping):
        config = dict(type='DefaultDemoInput', input_shape=tuple(config))
    return TASK_UTILS.build({'_scope_': 'mmrazor', **config})
