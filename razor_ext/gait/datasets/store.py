"""A silhouette set in one memory-mapped file, which all workers of a machine share."""
from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from razor_ext.engine.json_file import JsonError, read_json

from .pickle_io import SequenceError

INDEX = 'index.json'
FRAMES = 'frames.bin'
_FORMAT = 'razor_ext silhouettes'
_AGAIN = 'convert the data set again with tools/gait/convert_dataset.py'


class SequenceKey(NamedTuple):
    """Name of a sequence: the three directory levels of the published layouts."""

    subject: str
    condition: str
    view: str


class SilhouetteStore:
    """Read access to a store.

    Args:
        root (str | Path): Directory written by :func:`write_store`.

    Raises:
        ValueError: If the directory is no store, or its frames do not match its index.
    """

    def __init__(self, root: str | Path) -> None:
        root = Path(root)
        try:
            index = read_json(root / INDEX)
        except JsonError as error:
            raise ValueError(f'{root / INDEX}: no JSON: {error}; {_AGAIN}') from error
        if not isinstance(index, dict) or index.get('format') != _FORMAT or index.get(
                'version') != 1:
            raise ValueError(f'{root / INDEX} is no silhouette store of version 1; {_AGAIN}')
        self.root = root
        self.sequences, shape = _read_index(index, root / INDEX)
        expected, actual = math.prod(shape), (root / FRAMES).stat().st_size
        if expected != actual:
            raise ValueError(f'{root / FRAMES} has {actual} bytes where its index says {expected}; '
                             'convert the data set again')
        self.frames = np.memmap(root / FRAMES, np.uint8, 'r', shape=shape)

    def read(self, key: SequenceKey) -> np.ndarray:
        """Return a view of a sequence, uint8 ``[s, h, w]`` or ``[s, c, h, w]``.

        Nothing is read until it is indexed.
        """
        start, count = self.sequences[key]
        return self.frames[start:start + count]


def _read_index(index: dict[str, Any], path: Path
                ) -> tuple[dict[SequenceKey, tuple[int, int]], tuple[int, ...]]:
    """Return where the frames of each sequence are, and the shape of all frames."""
    def fail(what: str) -> NoReturn:
        raise ValueError(f'{path}: {what:.200}; {_AGAIN}')

    size = index.get('size')
    shape = (index.get('num_frames'), *(size if isinstance(size, list) else ()))
    if len(shape) not in (3, 4) or not all(
            type(number) is int and number > 0 for number in shape):
        fail(f'num_frames and size are {shape!r}, which must be three or four positive integers')
    rows, sequences = index.get('sequences'), {}
    if not isinstance(rows, list):
        fail(f'sequences is {rows!r}, which must be a list')
    for row in rows:
        if (not isinstance(row, list) or len(row) != 5
                or [type(value) for value in row] != [str] * 3 + [int] * 2
                or row[3] < 0 or row[4] < 1 or row[3] + row[4] > shape[0]):
            fail(f'the sequence {row!r} must be three names, a start and a count within the '
                 f'{shape[0]} frames')
        sequences[SequenceKey(*row[:3])] = (row[3], row[4])
    return sequences, shape


def is_store(root: str | Path) -> bool:
    """Whether a directory is a store rather than a tree of pickles."""
    return (Path(root) / INDEX).is_file()


@lru_cache(maxsize=8)
def open_store(root: str) -> SilhouetteStore:
    """Open a store once per process."""
    return SilhouetteStore(root)


def write_store(root: str | Path, sequences: Iterable[tuple[SequenceKey, np.ndarray]]) -> int:
    """Write a store; it appears under its name only when complete.

    Args:
        root (str | Path): Directory to create; must not exist.
        sequences (Iterable): Keys with their uint8 frames ``[s, h, w]`` or ``[s, c, h, w]``, all of
            one size.

    Returns:
        int: Number of sequences written.

    Raises:
        FileExistsError: If the directory exists.
        SequenceError: If a sequence has another size than the first.
    """
    root = Path(root)
    if root.exists():
        raise FileExistsError(f'{root} exists; remove it or choose another name')
    root.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
    try:
        index: list[list[Any]] = []
        size: tuple[int, ...] = ()
        total = 0
        with open(scratch / FRAMES, 'wb') as file:
            for key, frames in sequences:
                size = size or frames.shape[1:]
                if frames.shape[1:] != size:
                    raise SequenceError(f'{"/".join(key)}: size {frames.shape[1:]} differs from '
                                        f'{size} of the sequences before it')
                np.ascontiguousarray(frames).tofile(file)
                index.append([*key, total, len(frames)])
                total += len(frames)
        if not index:
            raise ValueError(f'no sequences to write to {root}')
        (scratch / INDEX).write_text(json.dumps({
            'format': _FORMAT, 'version': 1, 'size': [int(v) for v in size],
            'num_frames': total, 'sequences': index}))
        os.chmod(scratch, 0o755)
        os.replace(scratch, root)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return len(index)
