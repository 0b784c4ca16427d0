"""The published directory layout: ``<subject>/<condition>/<view>/*.pkl``."""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from razor_ext.engine.json_file import JsonError, read_json

from .store import SequenceKey


def scan_tree(root: str | Path, data_in_use: Sequence[int] | None = None
              ) -> Iterator[tuple[SequenceKey, list[str]]]:
    """Yield every sequence of a tree, in sorted order, with the paths of its pickles.

    A view directory without a pickle, or without one that is wanted, yields none.

    Args:
        root (str | Path): Root of the tree.
        data_in_use (Sequence[int] | None): Which pickles of a sequence are read, counted from 0 in
            sorted order, where a data set keeps several beside each other.

    Raises:
        FileNotFoundError: If the root does not exist.
        ValueError: If a directory holds several pickles and none is chosen.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError(f'silhouette root {root} is no directory')
    for subject in _directories(root):
        for condition in _directories(subject.path):
            for view in _directories(condition.path):
                key = SequenceKey(subject.name, condition.name, view.name)
                yield key, sequence_files(view.path, data_in_use)


def sequence_files(folder: str | Path, data_in_use: Sequence[int] | None = None) -> list[str]:
    """Paths of the pickles of one sequence that are read; none if one of them is missing.

    Args:
        folder (str | Path): Folder of the sequence.
        data_in_use (Sequence[int] | None): See :func:`scan_tree`.

    Raises:
        ValueError: If it holds several pickles and none is chosen.
    """
    files = sorted(e.path for e in os.scandir(folder) if e.name.endswith('.pkl'))
    if data_in_use is not None:
        return [files[i] for i in data_in_use] if max(data_in_use) < len(files) else []
    if len(files) > 1:
        names = ', '.join(os.path.basename(f) for f in files[:4])
        raise ValueError(f'{folder} holds {len(files)} pickles ({names}): choose one by '
                         'data_in_use, its number in this order from 0, or several by a list')
    return files


def _directories(path: str | Path) -> list[os.DirEntry]:
    return sorted((e for e in os.scandir(path) if e.is_dir()), key=lambda e: e.name)


def read_partition(path: str | Path) -> dict[str, list[str]]:
    """Read a partition file: JSON with ``TRAIN_SET``, ``TEST_SET`` and perhaps more lists.

    ``PROBE_SET`` and ``GALLERY_SET`` name test sequences as ``subject-condition-view``.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is not such a file, or a subject is in both sets.
    """
    try:
        partition = read_json(path)
    except JsonError as error:
        raise ValueError(f'{path}: no JSON: {error}') from error
    for name in ('TRAIN_SET', 'TEST_SET', 'PROBE_SET', 'GALLERY_SET'):
        ids = partition.get(name) if isinstance(partition, dict) else None
        if ids is None and name not in ('TRAIN_SET', 'TEST_SET') and isinstance(partition, dict):
            continue
        if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
            what = 'subject' if name in ('TRAIN_SET', 'TEST_SET') else 'sequence'
            raise ValueError(f'{path}: {name} must be a list of {what} names')
    both = sorted(set(partition['TRAIN_SET']) & set(partition['TEST_SET']))
    if both:
        raise ValueError(f'{path}: {len(both)} subjects are in both sets, such as {both[:3]}')
    return partition
