"""MMEngine metrics of whole galleries: Gait3D, CCGR-Mini and CCPG."""
from __future__ import annotations

import dataclasses

import numpy as np
from mmengine.logging import print_log

from razor_ext.registry import METRICS

from .embeddings import EmbeddingSet
from .metrics import GaitMetric
from .protocols import exclude_identical_views, retrieve, view_matrix
from .view_metrics import report_empty


class NamedSetMetric(GaitMetric):
    """Probes against a gallery, whatever the views; the partition names the one or the other."""

    #: The list of the partition, and whether it names the probes or the gallery.
    named: tuple[str, str]

    def judge(self, data: EmbeddingSet) -> dict:
        """Return rank-1, rank-5, rank-10, mAP and mINP; probes without a match are skipped."""
        key, role = self.named
        names = np.array(['-'.join(k) for k in zip(data.subjects, data.conditions, data.views)])
        listed = np.isin(names, (self.dataset_meta or {}).get(key.lower()) or [])
        if not listed.any() or listed.all():
            raise ValueError(f'{int(listed.sum())} of {len(names)} test sequences are in the '
                             f"partition's {key} (names subject-condition-view)")
        probe, gallery = data.select(listed), data.select(~listed)
        if role == 'gallery':
            probe, gallery = gallery, probe
        found = retrieve(probe, gallery, self.distance)
        figures = found.summary(ranks=(1, 5, 10))
        skipped = int(np.isnan(found.rank).sum())
        print_log(' '.join(f'{k}: {v:.2f}' for k, v in figures.items())
                  + f' ({skipped} of {len(found.rank)} probes have no match and are skipped)',
                  logger='current')
        return figures


@METRICS.register_module()
class Gait3DMetric(NamedSetMetric):
    """Gait3D: the partition's probe set against all other test sequences."""

    named = 'PROBE_SET', 'probe'


@METRICS.register_module()
class CCGRMiniMetric(NamedSetMetric):
    """CCGR-Mini: all other test sequences against the partition's gallery set."""

    named = 'GALLERY_SET', 'gallery'


@METRICS.register_module()
class CCPGMetric(GaitMetric):
    """CCPG: full, upper and lower change of clothes, and bags.

    Each is judged twice: as person re-identification is (the gallery of all views without the
    probe's own subject in its own view; probes without a match are skipped), and as gait
    recognition is (one view at a time, the identical one left out of the mean). What follows the
    first underscore of a view's name counts neither way.
    """

    #: Conditions of the probes and of the gallery.
    PAIRS = {'CL': (['U0_D0_BG', 'U0_D0'], ['U1_D1', 'U2_D2', 'U3_D3']),
             'UP': (['U3_D3'], ['U0_D3']), 'DN': (['U1_D0'], ['U1_D1']),
             'BG': (['U0_D0_BG'], ['U0_D0'])}

    def judge(self, data: EmbeddingSet) -> dict:
        """Return `<pair>_R1`, `_mAP` and `_mINP`, and rank-1 by views as `<pair>`."""
        data = dataclasses.replace(data, views=np.array([v.split('_')[0] for v in data.views]))
        views = sorted(set(data.views))
        figures: dict[str, float] = {}
        for name, (probes, conditions) in self.PAIRS.items():
            probe = self._part(data, 'probe', probes)
            gallery = self._part(data, 'gallery', conditions)
            found = retrieve(probe, gallery, self.distance, drop_same_view=True).summary()
            figures.update({f'{name}_{key}': value for key, value in found.items()})
            matrix = view_matrix(probe, gallery, views, self.distance)
            report_empty(name, matrix, views)
            by_view = exclude_identical_views(matrix)
            figures[name] = float(np.nanmean(by_view))
            self.view_figures[name] = dict(zip(views, by_view.tolist()))
        print_log(' '.join(f'{k}: {v:.3f}' for k, v in figures.items()), logger='current')
        return figures
