"""Silhouette pickles, read by an unpickler that knows NumPy arrays and nothing else."""
from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

_ALLOWED = frozenset({
    ('numpy', 'ndarray'), ('numpy', 'dtype'),
    ('numpy.core.multiarray', '_reconstruct'), ('numpy._core.multiarray', '_reconstruct'),
    ('numpy.core.numeric', '_frombuffer'), ('numpy._core.numeric', '_frombuffer'),
    ('_codecs', 'encode'),  # how protocols below 3 spell the bytes of an array
})

# 'numpy.core' or 'numpy._core', as this NumPy calls it in its own pickles
_CORE = np.zeros(0).__reduce__()[0].__module__.rpartition('.')[0]


class SequenceError(ValueError):
    """A silhouette sequence that cannot be used; the message begins with its path."""


class _ArrayUnpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f'refused: it asks for {module}.{name}, and only NumPy '
                                         'arrays are loaded')
        # NumPy 2 renamed the package; either name finds what this NumPy has
        if module.startswith(('numpy.core.', 'numpy._core.')):
            module = f'{_CORE}.{module.rsplit(".", 1)[1]}'
        return super().find_class(module, name)


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
            frames = _ArrayUnpickler(file).load()
    except Exception as error:  # a corrupted stream can raise almost anything
        raise SequenceError(f'{path}: cannot be read: {type(error).__name__}: {error}') from error
    return check_frames(frames, path)
