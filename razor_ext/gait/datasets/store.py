"""A silhouette set in one memory-mapped file, which all workers of a machine share."""
from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .pickle_io import SequenceError

INDEX = 'index.json'
FRAMES = 'frames.bin'
_FORMAT = 'razor_ext silhouettes'


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
        index = json.loads((root / INDEX).read_text())
        if index.get('format') != _FORMAT or index.get('version') != 1:
            raise ValueError(f'{root / INDEX} is no silhouette store of version 1; convert the '
                             'data set again with tools/gait/convert_dataset.py')
        self.root = root
        self.sequences = {SequenceKey(*key): (start, count)
                          for *key, start, count in index['sequences']}
        shape = (index['num_frames'], *index['size'])
        expected, actual = int(np.prod(shape)), (root / FRAMES).stat().st_size
        if expected != actual:
            raise ValueError(f'{root / FRAMES} has {actual} bytes where its index says {expected}; '
                             'convert the data set again')
        self.frames = np.memmap(root / FRAMES, np.uint8, 'r', shape=shape)

    def read(self, key: SequenceKey) -> np.ndarray:
        """Return a view of a sequence, uint8 ``[s, h, w]``; nothing is read until it is indexed."""
        start, count = self.sequences[key]
        return self.frames[start:start + count]


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
        sequences (Iterable): Keys with their uint8 silhouettes ``[s, h, w]``, all of one size.

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
