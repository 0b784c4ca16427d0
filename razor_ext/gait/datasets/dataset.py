"""Silhouette data sets in the published layouts, as pickles or as a store."""
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
        **kwargs: See :class:`mmengine.dataset.BaseDataset`.
    """

    METAINFO: dict[str, Any] = {'dataset_name': 'gait', 'conditions': None, 'views': None}

    def __init__(self, ann_file: str, split: str = 'train', data_root: str = '',
                 data_prefix: dict | None = None, missing: str = 'warn',
                 on_corrupt: str = 'raise', **kwargs) -> None:
        for name, value, choices in (('split', split, ('train', 'test')),
                                     ('missing', missing, ('warn', 'raise')),
                                     ('on_corrupt', on_corrupt, ('raise', 'skip'))):
            if value not in choices:
                raise ValueError(f'{name} must be one of {choices}, not {value!r}')
        self.split = split
        self.missing = missing
        self.on_corrupt = on_corrupt
        self._labels: np.ndarray | None = None
        prefix = {'path': ''} if data_prefix is None else data_prefix
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=prefix, **kwargs)

    def _sequences(self) -> dict[SequenceKey, str]:
        """All sequences under the root with their pickles' paths (empty in a store)."""
        root = self.data_prefix['path']
        if is_store(root):
            return dict.fromkeys(sorted(open_store(root).sequences), '')
        found = dict(scan_tree(root))
        empty = [key for key, path in found.items() if not path]
        self._report_missing(empty, 'sequence directories without a pickle')
        return {key: path for key, path in found.items() if path}

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
        self._metainfo['probe_set'] = partition.get('PROBE_SET')
        root = Path(self.data_prefix['path'])
        store = str(root) if is_store(root) else None
        return [{**key._asdict(), 'label': labels[key.subject], 'store': store,
                 'path': sequences[key] or str(root.joinpath(*key))} for key in keys]

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


@DATASETS.register_module()
class CASIABDataset(GaitDataset):
    """CASIA-B (Yu et al., ICPR 2006): 124 subjects, 10 walks, 11 views."""

    METAINFO = {
        'dataset_name': 'CASIA-B',
        'conditions': [*(f'nm-{i:02d}' for i in range(1, 7)), 'bg-01', 'bg-02', 'cl-01', 'cl-02'],
        'views': [f'{v:03d}' for v in range(0, 181, 18)],
    }


@DATASETS.register_module()
class OUMVLPDataset(GaitDataset):
    """OU-MVLP (Takemura et al., 2018): 10,307 subjects, 2 walks, 14 views."""

    METAINFO = {
        'dataset_name': 'OUMVLP', 'conditions': ['00', '01'],
        'views': [f'{v:03d}' for v in (*range(0, 91, 15), *range(180, 271, 15))],
    }


@DATASETS.register_module()
class Gait3DDataset(GaitDataset):
    """Gait3D (Zheng et al., CVPR 2022): 4,000 subjects by camera and sequence, with a probe set."""

    METAINFO = {'dataset_name': 'Gait3D', 'conditions': None, 'views': None}

    def load_data_list(self) -> list[dict]:
        """List the split and check its probe set, names ``subject-camera-sequence``."""
        data = super().load_data_list()
        if self.split == 'test':
            probes = self._metainfo['probe_set']
            if not probes:
                raise ValueError(f'{self.ann_file} has no PROBE_SET, which Gait3D is judged by')
            known = {'-'.join((d['subject'], d['condition'], d['view'])) for d in data}
            self._report_missing([p for p in probes if p not in known],
                                 'sequences of PROBE_SET are not on disk')
        return data


@DATASETS.register_module()
class GREWDataset(GaitDataset):
    """GREW (Zhu et al., ICCV 2021): 20,000 training subjects; test gallery and unnamed probes.

    Training subjects are named ``00001train``; the probes all belong to a subject ``probe`` and
    their view is the video's identifier.
    """

    METAINFO = {'dataset_name': 'GREW', 'conditions': None, 'views': None}
