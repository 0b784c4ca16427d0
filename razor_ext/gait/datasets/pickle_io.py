"""Pickles of frames, read by an unpickler that knows NumPy arrays and nothing else."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from razor_ext.compat.plain_arrays import ArrayUnpickler, PlainArray


class SequenceError(ValueError):
    """A silhouette sequence that cannot be used; the message begins with its path."""


def check_frames(frames: object, path: str | Path) -> np.ndarray:
    """Return ``frames`` if it is a uint8 array ``[s, h, w]`` or ``[s, c, h, w]`` with a frame.

    Raises:
        SequenceError: Otherwise, with the path and what was found.
    """
    if not isinstance(frames, np.ndarray) or frames.ndim not in (3, 4) or frames.dtype != np.uint8:
        found = f'{frames.dtype} {list(frames.shape)}' if isinstance(frames, np.ndarray) \
            else type(frames).__name__
        raise SequenceError(f'{path}: expected uint8 silhouettes [s, h, w] or maps [s, c, h, w], '
                            f'found {found}')
    if frames.shape[0] == 0:
        raise SequenceError(f'{path}: the sequence has no frames')
    return frames


def load_pickle(path: str | Path) -> np.ndarray:
    """Read one pickle of silhouettes, or of maps such as those of joints.

    Args:
        path (str | Path): File holding a uint8 array ``[s, h, w]`` or ``[s, c, h, w]``.

    Returns:
        np.ndarray: The array.

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


def load_sequence(paths: Sequence[str | Path]) -> np.ndarray:
    """Read the pickles of a sequence that lie beside each other, one or several.

    Args:
        paths (Sequence[str | Path]): Their files, in the order of the channels.

    Returns:
        np.ndarray: What one pickle holds; of several the frames uint8 ``[s, c, h, w]``, the
        channels one after another. Wider ones lose their sides, as cropped silhouettes have.

    Raises:
        SequenceError: If one cannot be read, or they are not of one length and height.
    """
    inputs = [load_pickle(path) for path in paths]
    if len(inputs) == 1:
        return inputs[0]
    maps = [x if x.ndim == 4 else x[:, None] for x in inputs]
    width = min(x.shape[3] for x in maps)
    for x, path in zip(maps, paths):
        for size, i in (('frames', 0), ('rows', 2)):
            if x.shape[i] != maps[0].shape[i]:
                raise SequenceError(f'{path}: {x.shape[i]} {size}, where {paths[0]} has '
                                    f'{maps[0].shape[i]}')
        if (x.shape[3] - width) % 2:
            raise SequenceError(f'{path}: {x.shape[3]} columns cannot be cut to {width}, those of '
                                'the narrowest pickle beside it, by as many on either side')
    return np.concatenate([_cut_sides(x, width) for x in maps], axis=1)


def _cut_sides(maps: np.ndarray, width: int) -> np.ndarray:
    cut = (maps.shape[3] - width) // 2
    return maps[..., cut:cut + width]
