"""MMEngine metrics by view: CASIA-B, CASIA-E, OU-MVLP and SUSTech1K."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log

from razor_ext.registry import METRICS

from .embeddings import EmbeddingSet
from .metrics import GaitMetric
from .protocols import exclude_identical_views, rank_matrices, retrieve, view_matrix
from .tables import retrieval_table, view_tables


def report_empty(name: str, matrix: np.ndarray, views: Sequence[str]) -> None:
    """Log the pairs of views that a matrix of figures has no sequences for."""
    empty = [f'{views[i]} against {views[j]}' for i, j in np.argwhere(np.isnan(matrix))]
    if empty:
        print_log(f'{name}: {len(empty)} pairs of views have no sequences and are left out of the '
                  f'means: {", ".join(empty[:5])}', logger='current', level=30)


class ViewMetric(GaitMetric):
    """Rank-1 by view under the single-view protocol, and rank-1 and mAP under the cross-view one.

    Single-view: a probe meets the gallery of one view at a time, and the identical view is left out
    of the mean. Cross-view: it meets all views at once, without its own subject in its own view; a
    probe that has no match then is a miss of rank-1, and left out of mAP.

    Args:
        protocols (Sequence[str]): ``'single_view'``, ``'cross_view'`` or both.
        **kwargs: See :class:`GaitMetric`.
    """

    single_view: tuple[dict, list]
    cross_view: tuple[dict, list] | None = None
    #: Views that are left out of the single-view protocol.
    left_out: tuple[str, ...] = ()

    def __init__(self, protocols: Sequence[str] = ('single_view',), **kwargs) -> None:
        super().__init__(**kwargs)
        unknown = set(protocols) - {'single_view', 'cross_view'}
        if unknown or not protocols:
            raise ValueError("protocols must be 'single_view', 'cross_view' or both, "
                             f'not {tuple(protocols)}')
        if 'cross_view' in protocols and self.cross_view is None:
            raise ValueError(f'{type(self).__name__} has no cross-view protocol: protocols must be '
                             "('single_view',)")
        self.protocols = tuple(protocols)

    def judge(self, data: EmbeddingSet) -> dict:
        """Return the mean of each probe condition."""
        views = sorted(set(data.views))
        figures = {}
        if 'single_view' in self.protocols:
            figures.update(self._single(data, [v for v in views if v not in self.left_out]))
        if 'cross_view' in self.protocols:
            figures.update(self._cross(data, views))
        return figures

    def _single(self, data: EmbeddingSet, views: list[str]) -> dict:
        probes, conditions = self.single_view
        gallery = self._part(data, 'gallery', conditions)
        matrices = {name: view_matrix(self._part(data, 'probe', c), gallery, views, self.distance)
                    for name, c in probes.items()}
        for name, matrix in matrices.items():
            report_empty(name, matrix, views)
        print_log(view_tables(matrices, views), logger='current')
        by_view = {name: exclude_identical_views(m) for name, m in matrices.items()}
        self.view_figures = {name: dict(zip(views, v.tolist())) for name, v in by_view.items()}
        figures = {name: float(np.nanmean(v)) for name, v in by_view.items()}
        if len(figures) > 1:
            figures['mean'] = float(np.mean(list(figures.values())))
        return figures

    def _cross(self, data: EmbeddingSet, views: list[str]) -> dict:
        assert self.cross_view is not None  # checked with the protocols
        probes, conditions = self.cross_view
        gallery = self._part(data, 'gallery', conditions)
        table, figures = {}, {}
        for name, c in probes.items():
            probe = self._part(data, 'probe', c)
            found = retrieve(probe, gallery, self.distance, drop_same_view=True)
            table[name] = [found.summary(probe.views == v, count_misses=True) for v in views]
            for key in ('R1', 'mAP'):
                by_view = np.round([row[key] for row in table[name]], 2)  # as published
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


def _casia_e(scenes: Sequence[str], clothes: str) -> list[str]:
    """Conditions of CASIA-E: two heights, some scenes, one kind of clothes, two walks."""
    return [f'{height}-{scene}-{clothes}-{walk}'
            for height in 'HL' for scene in scenes for walk in (1, 2)]


@METRICS.register_module()
class CASIAEMetric(ViewMetric):
    """CASIA-E: gallery of scene 1 in normal clothes; probes of scenes 2 and 3; without view 270."""

    single_view = ({name: _casia_e(('scene2', 'scene3', 'scene3_s'), name.lower())
                    for name in ('NM', 'BG', 'CL')}, _casia_e(('scene1',), 'nm'))
    left_out = ('270',)


@METRICS.register_module()
class SUSTech1KMetric(GaitMetric):
    """SUSTech1K: gallery 00-nm; probes by what their condition's name contains; ranks 1 and 5.

    Single-view, the identical view left out of the mean. A sequence counts under every name that
    its condition contains.
    """

    GALLERY = '00-nm'
    PROBES = {'Normal': ('01-nm',), 'Bag': ('bg',), 'Clothing': ('cl',), 'Carrying': ('cr',),
              'Umbrella': ('ub',), 'Uniform': ('uf',), 'Occlusion': ('oc',), 'Night': ('nt',),
              'Overall': ('01', '02', '03', '04')}
    RANKS = (1, 5)

    def judge(self, data: EmbeddingSet) -> dict:
        """Return rank-1 and rank-5 of every kind of probe that the test set has."""
        views = sorted(set(data.views))
        gallery = self._part(data, 'gallery', [c for c in set(data.conditions) if self.GALLERY in c]
                             or [self.GALLERY])
        figures = {}
        for name, parts in self.PROBES.items():
            conditions = [c for c in set(data.conditions) if any(part in c for part in parts)]
            if not conditions:
                print_log(f'{name}: the test set has no such probes', logger='current', level=30)
                continue
            matrices = rank_matrices(self._part(data, 'probe', conditions), gallery, views,
                                     self.distance, self.RANKS)
            report_empty(name, matrices[0], views)
            for rank, matrix in zip(self.RANKS, matrices):
                by_view = exclude_identical_views(matrix)
                figures[f'{name}_R{rank}'] = float(np.nanmean(by_view))
                if rank == 1:
                    self.view_figures[name] = dict(zip(views, by_view.tolist()))
        print_log(' '.join(f'{k}: {v:.2f}' for k, v in figures.items()), logger='current')
        return figures
