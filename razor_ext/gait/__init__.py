"""Gait recognition under MMEngine, judged by OpenGait's protocols.

Light to import: `family.py` is read before it is known whether the family can be used.
"""
from __future__ import annotations

import importlib
from typing import Any

#: Public names, by the module that defines them.
_HOMES = {'GaitDataSample': 'structures', 'QuantPartLinear': 'quantized'}

__all__ = ['GaitDataSample', 'QuantPartLinear']


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)
