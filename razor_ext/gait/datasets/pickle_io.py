"""Silhouette pickles, read by an unpickler that knows NumPy arrays and nothing else."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from razor_ext.compat.plain_arrays import ArrayUnpickler, PlainArray


class SequenceError(ValueError):
    """A silhouette sequence that cannot be used; the message begins with its path."""


def check_frames(frames: object, path: str | Path) -> np.ndarray:
    """Return ``frames`` if it is a uint8 array ``[s, h, w]`` with at least one frame.

    Raises:
        SequenceError: Otherwise, with the path and what was found.
    """
    if not isinstance(frames, np.ndarray) or frames.ndim != 3 or frames.dtype != np.uint8:
        found = f'{frames.dtype} {list(frames.shape)}' if isinstance(frames, np.ndarray) \
            else type(frames).__name__
        raise SequenceError(f'{path}: expected uint8 silhouettes [s, h, w], found {found}')
    if frames.shape[0] == 0:
        raise SequenceError(f'{path}: the sequence has no frames')
    return frames


def load_pickle(path: str | Path) -> np.ndarray:
    """Read one silhouette pickle.

    Args:
        path (str | Path): File holding a uint8 array ``[s, h, w]``.

    Returns:
        np.ndarray: The silhouettes.

    Raises:
        SequenceError: If the file is missing, truncated, holds anything but such an array, or
            names any other Python object, which is then not imported.
    """
    try:
        with open(path, 'rb') as file:
            frames = ArrayUnpickler(file).load()
        if isinstance(frames, PlainArray):
            frames = frames.array
    except Exception as error:  # a corrupted stream can raise almost anything
        raise SequenceError(f'{path}: cannot be read: {type(error).__name__}: {error}') from error
    return check_frames(frames, path)
