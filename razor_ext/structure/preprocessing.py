"""Where a model's data preprocessor comes from."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def split_preprocessor(architecture: Any, data_preprocessor: Any) -> tuple[Any, Any]:
    """Say what of a data preprocessor goes into the dense model, and what around it.

    Runner gives every model the `data_preprocessor` at the top of a config. Some packages
    (mmpretrain) write it there alone and without a type, which their models complete.

    Args:
        architecture: the dense model, or its config.
        data_preprocessor: what the model around it was given: a module, a config, or None.

    Returns:
        The architecture, with the config of the preprocessor if it had none; and the preprocessor
        to use around it, None for that of the architecture.
    """
    if not isinstance(data_preprocessor, Mapping):
        return architecture, data_preprocessor
    if not data_preprocessor:  # MMDeploy's stand-in for none
        return architecture, None
    if isinstance(architecture, Mapping) and 'type' in architecture \
            and architecture.get('data_preprocessor') is None:
        return {**architecture, 'data_preprocessor': dict(data_preprocessor)}, None
    return architecture, data_preprocessor if 'type' in data_preprocessor else None
