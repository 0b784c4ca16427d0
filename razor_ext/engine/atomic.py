"""Files appear whole or not at all: `razor_ext.atomic` under its name of version 0.1."""
from __future__ import annotations

from razor_ext.atomic import atomic_write, write_json

__all__ = ['atomic_write', 'write_json']
