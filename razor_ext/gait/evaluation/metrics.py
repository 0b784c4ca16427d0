"""MMEngine metrics of CASIA-B, OU-MVLP, Gait3D and GREW."""
from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from razor_ext.registry import METRICS

from .embeddings import BlockDistance, EmbeddingSet
from .protocols import exclude_identical_views, retrieve, top_subjects, view_matrix
from .tables import retrieval_table, view_tables


class GaitMetric(BaseMetric):
    """Collects embeddings of all ranks and judges them on the first.

    Args:
        distance (str): ``'euclidean'`` or ``'cosine'``, averaged over parts.
        block (int): Largest block of sequences compared at once.
        device (str, optional): Where distances are computed; None is a GPU where there is one.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'gait'

    def __init__(self, distance: str = 'euclidean', block: int = 2048, device: str | None = None,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.distance = BlockDistance(distance, block, device)
        self.view_figures: dict[str, dict[str, float]] = {}

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the embeddings of a batch.

        Raises:
            ValueError: If one is not finite; it names the sequence.
        """
        for sample in data_samples:
            embedding = sample['embedding'].detach().float().cpu().clone()
            if not torch.isfinite(embedding).all():
                raise ValueError(f'{sample["path"]}: its embedding is not finite; the checkpoint '
                                 'has diverged, or half precision overflowed')
            self.results.append({'embedding': embedding, **{
                k: sample[k] for k in ('sample_idx', 'subject', 'condition', 'view')}})

    def compute_metrics(self, results: list) -> dict:
        """Judge the embeddings of all ranks."""
        if not results:
            raise ValueError(f'{type(self).__name__} got no embeddings: is the test set empty?')
        self.results.clear()
        return self.judge(EmbeddingSet.from_results(results))

    def judge(self, data: EmbeddingSet) -> dict:
        """Return the figures of a set of embeddings, and log their table."""
        raise NotImplementedError

    def _part(self, data: EmbeddingSet, role: str, conditions: Sequence[str]) -> EmbeddingSet:
        mask = np.isin(data.conditions, conditions)
        if not mask.any():
            raise ValueError(f'no {role} sequence of conditions {list(conditions)}; the test set '
                             f'has {sorted(set(data.conditions))[:20]}')
        return data.select(mask)


class ViewMetric(GaitMetric):
    """Rank-1 by view under the single-view protocol, and rank-1 and mAP under the cross-view one.

    Single-view: a probe meets the gallery of one view at a time, and the identical view is left out
    of the mean. Cross-view: it meets all views at once, without its own subject in its own view.

    Args:
        protocols (Sequence[str]): ``'single_view'``, ``'cross_view'`` or both.
        **kwargs: See :class:`GaitMetric`.
    """

    single_view: tuple[dict, list]
    cross_view: tuple[dict, list]

    def __init__(self, protocols: Sequence[str] = ('single_view',), **kwargs) -> None:
        super().__init__(**kwargs)
        unknown = set(protocols) - {'single_view', 'cross_view'}
        if unknown or not protocols:
            raise ValueError("protocols must be 'single_view', 'cross_view' or both, "
                             f'not {tuple(protocols)}')
        self.protocols = tuple(protocols)

    def judge(self, data: EmbeddingSet) -> dict:
        """Return the mean of each probe condition."""
        views = sorted(set(data.views))
        figures = {}
        if 'single_view' in self.protocols:
            figures.update(self._single(data, views))
        if 'cross_view' in self.protocols:
            figures.update(self._cross(data, views))
        return figures

    def _single(self, data: EmbeddingSet, views: list[str]) -> dict:
        probes, conditions = self.single_view
        gallery = self._part(data, 'gallery', conditions)
        matrices = {name: view_matrix(self._part(data, 'probe', c), gallery, views, self.distance)
                    for name, c in probes.items()}
        for name, matrix in matrices.items():
            empty = [f'{views[i]} against {views[j]}' for i, j in np.argwhere(np.isnan(matrix))]
            if empty:
                print_log(f'{name}: {len(empty)} pairs of views have no sequences and are left out '
                          f'of the means: {", ".join(empty[:5])}', logger='current', level=30)
        print_log(view_tables(matrices, views), logger='current')
        by_view = {name: exclude_identical_views(m) for name, m in matrices.items()}
        self.view_figures = {name: dict(zip(views, v.tolist())) for name, v in by_view.items()}
        figures = {name: float(np.nanmean(v)) for name, v in by_view.items()}
        if len(figures) > 1:
            figures['mean'] = float(np.mean(list(figures.values())))
        return figures

    def _cross(self, data: EmbeddingSet, views: list[str]) -> dict:
        probes, conditions = self.cross_view
        gallery = self._part(data, 'gallery', conditions)
        table, figures = {}, {}
        for name, c in probes.items():
            probe = self._part(data, 'probe', c)
            found = retrieve(probe, gallery, self.distance, drop_same_view=True)
            table[name] = [found.summary(probe.views == v) for v in views]
            for key in ('R1', 'mAP'):
                by_view = [row[key] for row in table[name]]
                figures[f'{name}_cross_{key}'] = float(np.nanmean(by_view))
        print_log(retrieval_table(table, views), logger='current')
        return figures


@METRICS.register_module()
class CASIABMetric(ViewMetric):
    """CASIA-B: gallery nm-01 to nm-04; probes nm-05/06, bg-01/02 and cl-01/02."""

    single_view = ({'NM': ['nm-05', 'nm-06'], 'BG': ['bg-01', 'bg-02'], 'CL': ['cl-01', 'cl-02']},
                   ['nm-01', 'nm-02', 'nm-03', 'nm-04'])
    cross_view = ({'NM': ['nm-01'], 'BG': ['bg-01'], 'CL': ['cl-01']}, ['nm-02', 'bg-02', 'cl-02'])


@METRICS.register_module()
class OUMVLPMetric(ViewMetric):
    """OU-MVLP: gallery 01, probe 00."""

    single_view = ({'NM': ['00']}, ['01'])
    cross_view = ({'NM': ['00']}, ['01'])


@METRICS.register_module()
class Gait3DMetric(GaitMetric):
    """Gait3D: the partition's probe set against all other test sequences, whatever their view."""

    def judge(self, data: EmbeddingSet) -> dict:
        """Return rank-1, rank-5, rank-10, mAP and mINP."""
        names = np.array(['-'.join(k) for k in zip(data.subjects, data.conditions, data.views)])
        probes = (self.dataset_meta or {}).get('probe_set')
        is_probe = np.isin(names, probes or [])
        if not is_probe.any() or is_probe.all():
            raise ValueError(f'{int(is_probe.sum())} of {len(names)} test sequences are in the '
                             "partition's PROBE_SET (names subject-camera-sequence)")
        found = retrieve(data.select(is_probe), data.select(~is_probe), self.distance)
        figures = found.summary(ranks=(1, 5, 10))
        skipped = int(np.isnan(found.rank).sum())
        print_log(' '.join(f'{k}: {v:.2f}' for k, v in figures.items())
                  + f' ({skipped} of {len(found.rank)} probes have no match and are skipped)',
                  logger='current')
        return figures


@METRICS.register_module()
class GREWSubmission(GaitMetric):
    """GREW: writes the file its server judges; test labels are not public, so there is no figure.

    Args:
        path (str): CSV to write: each probe video with its 20 nearest gallery subjects.
        gallery (Sequence[str]): Conditions of the gallery.
        probe (Sequence[str]): Conditions of the probes; their view is the video's identifier.
        **kwargs: See :class:`GaitMetric`.
    """

    RANKS = 20

    def __init__(self, path: str, gallery: Sequence[str] = ('01', '02'),
                 probe: Sequence[str] = ('03',), **kwargs) -> None:
        super().__init__(**kwargs)
        self.path = Path(path)
        self.gallery = gallery
        self.probe = probe

    def judge(self, data: EmbeddingSet) -> dict:
        """Write the file; returns the number of probes."""
        gallery = self._part(data, 'gallery', self.gallery)
        probe = self._part(data, 'probe', self.probe)
        if len(gallery) < self.RANKS:
            raise ValueError(f'the gallery has {len(gallery)} sequences; a submission ranks '
                             f'{self.RANKS}')
        ranked = top_subjects(probe, gallery, self.distance, self.RANKS)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile('w', dir=self.path.parent, newline='', suffix='.csv',
                                         delete=False) as file:
            writer = csv.writer(file)
            writer.writerow(['videoId', *(f'rank{i + 1}' for i in range(self.RANKS))])
            writer.writerows([video, *row] for video, row in zip(probe.views, ranked))
        os.chmod(file.name, 0o644)
        os.replace(file.name, self.path)
        print_log(f'{len(probe)} probes written to {self.path}', logger='current')
        return {'probes': len(probe)}
