"""A silhouette data set, as pickles in the published layout or as a store."""
from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from razor_ext.registry import DATASETS

from .pickle_io import SequenceError
from .store import SequenceKey, is_store, open_store
from .tree import read_partition, scan_tree


def pickle_numbers(data_in_use: int | Sequence[int] | None) -> list[int] | None:
    """The numbers of the pickles that are read, as a list.

    Raises:
        ValueError: If it is neither None, nor a number from 0, nor several such.
    """
    if data_in_use is None:
        return None
    numbers = list(data_in_use) if isinstance(data_in_use, Sequence) else [data_in_use]
    if not numbers or any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError('data_in_use must be None or the number of a pickle from 0, or several '
                         f'such, not {data_in_use!r}')
    return numbers


@DATASETS.register_module()
class GaitDataset(BaseDataset):
    """Sequences of the subjects of one partition.

    Args:
        ann_file (str): Partition file, relative to ``data_root``.
        split (str): ``'train'`` or ``'test'``.
        data_root (str): Root of the data set.
        data_prefix (dict): ``path`` of the pickle tree, or of a store made from it by
            ``tools/gait/convert_dataset.py``, relative to ``data_root``.
        missing (str): What to do about subjects and sequences that are not on disk: ``'warn'`` or
            ``'raise'``. A split without a single sequence is an error in any case.
        on_corrupt (str): What training does at a sequence that cannot be read: ``'raise'`` stops,
            ``'skip'`` logs its path and takes another sequence of the same subject. A test always
            stops.
        data_in_use (int | Sequence[int] | None): Which pickle of a sequence is read, counted from 0
            in sorted order, where the data set keeps several (silhouettes, maps of joints, ...)
            beside each other; of several numbers, the channels of all, in this order.
        **kwargs: See :class:`mmengine.dataset.BaseDataset`.
    """

    METAINFO: dict[str, Any] = {'dataset_name': 'gait', 'conditions': None, 'views': None}

    def __init__(self, ann_file: str, split: str = 'train', data_root: str = '',
                 data_prefix: dict | None = None, missing: str = 'warn',
                 on_corrupt: str = 'raise', data_in_use: int | Sequence[int] | None = None,
                 **kwargs) -> None:
        for name, value, choices in (('split', split, ('train', 'test')),
                                     ('missing', missing, ('warn', 'raise')),
                                     ('on_corrupt', on_corrupt, ('raise', 'skip'))):
            if value not in choices:
                raise ValueError(f'{name} must be one of {choices}, not {value!r}')
        self.data_in_use = pickle_numbers(data_in_use)
        self.split = split
        self.missing = missing
        self.on_corrupt = on_corrupt
        self._labels: np.ndarray | None = None
        prefix = {'path': ''} if data_prefix is None else data_prefix
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=prefix, **kwargs)

    def _sequences(self) -> dict[SequenceKey, list[str]]:
        """All sequences under the root with their pickles' paths (none in a store)."""
        root = self.data_prefix['path']
        if is_store(root):
            return {key: [] for key in sorted(open_store(root).sequences)}
        found = dict(scan_tree(root, self.data_in_use))
        empty = [key for key, paths in found.items() if not paths]
        which = '' if self.data_in_use is None else ' number ' + ' or '.join(
            map(str, self.data_in_use))
        self._report_missing(empty, f'sequence directories without a pickle{which}')
        return {key: paths for key, paths in found.items() if paths}

    def _report_missing(self, what: Sequence, description: str) -> None:
        if what:
            names = ['/'.join(k) if isinstance(k, tuple) else k for k in what[:5]]
            text = (f'{self.data_prefix["path"]}: {len(what)} {description}: '
                    f'{", ".join(names)}{", ..." if len(what) > 5 else ""}')
            if self.missing == 'raise':
                raise ValueError(f"{text}. Complete the data set, or set missing='warn'")
            print_log(text, logger='current', level=logging.WARNING)

    def load_data_list(self) -> list[dict]:
        """List the sequences of the split; labels number its subjects in sorted order."""
        partition = read_partition(self.ann_file)
        wanted = sorted(set(partition[f'{self.split.upper()}_SET']))
        sequences = self._sequences()
        present = {key.subject for key in sequences}
        self._report_missing([s for s in wanted if s not in present],
                             f'{self.split} subjects of {self.ann_file} are not on disk')
        labels = {s: i for i, s in enumerate(s for s in wanted if s in present)}
        keys = [key for key in sequences if key.subject in labels]
        if not keys:
            raise ValueError(f'{self.data_prefix["path"]} has no sequence of the {len(wanted)} '
                             f'{self.split} subjects of {self.ann_file} (expected directories '
                             '<subject>/<condition>/<view>)')
        self._check_grid(keys, list(labels))
        self._metainfo['subjects'] = list(labels)
        for name in ('PROBE_SET', 'GALLERY_SET'):
            self._metainfo[name.lower()] = partition.get(name)
        root = Path(self.data_prefix['path'])
        store = str(root) if is_store(root) else None
        return [{**key._asdict(), 'label': labels[key.subject], 'store': store,
                 'paths': sequences[key],
                 'path': sequences[key][0] if len(sequences[key]) == 1
                 else str(root.joinpath(*key))} for key in keys]

    def _check_grid(self, keys: list[SequenceKey], subjects: list[str]) -> None:
        conditions, views = self._metainfo['conditions'], self._metainfo['views']
        if conditions and views:
            known = set(keys)
            self._report_missing(
                [key for s in subjects for c in conditions for v in views
                 if (key := SequenceKey(s, c, v)) not in known],
                f'of {len(subjects) * len(conditions) * len(views)} sequences are not on disk')

    @property
    def labels(self) -> np.ndarray:
        """int64 label of every sequence."""
        if self._labels is None:
            self._labels = np.array([self.get_data_info(i)['label'] for i in range(len(self))])
        return self._labels

    def __getitem__(self, idx: int) -> dict:
        """Run the pipeline on a sequence.

        Raises:
            SequenceError: If it cannot be used and ``on_corrupt`` does not allow another.
        """
        if not self._fully_initialized:
            self.full_init()
        try:
            return self.prepare_data(idx)
        except SequenceError as error:
            if self.test_mode or self.on_corrupt == 'raise':
                raise
            failure = error
        others = np.random.permutation(np.flatnonzero(self.labels == self.labels[idx]))
        for other in others[others != idx]:
            print_log(f'skipping a sequence: {failure}', logger='current', level=logging.WARNING)
            try:
                return self.prepare_data(int(other))
            except SequenceError as error:
                failure = error
        raise SequenceError(f'{failure} (and no other sequence of this subject can be read)')
