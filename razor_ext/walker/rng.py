from __future__ import annotations

import colorsys
import zlib

import numpy as np


def keyed_rng(*key: object) -> np.random.Generator:
    """A generator that depends on its key alone: not on the process, the order of calls or hash().

    Args:
        *key: Parts of the key; their ``str`` is what counts.

    Returns:
        np.random.Generator: Seeded with the CRC-32 of every part.
    """
    return np.random.default_rng([zlib.crc32(str(part).encode()) for part in key])


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """An RGB colour ``[3]``, 0 to 255, from hue, saturation and value, 0 to 1."""
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)
