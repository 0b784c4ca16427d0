"""Files for the servers that judge GREW and HID, whose test labels are not public."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log

from razor_ext.engine.atomic import atomic_write
from razor_ext.registry import METRICS

from .embeddings import EmbeddingSet
from .metrics import GaitMetric
from .protocols import top_subjects
from .rerank import k_reciprocal_distance


class Submission(GaitMetric):
    """Writes a file and gives no figure but the number of probes.

    Args:
        path (str): CSV to write.
        **kwargs: See :class:`GaitMetric`.
    """

    def __init__(self, path: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.path = Path(path)

    def _write(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        lines = [','.join(map(str, row)) for row in (header, *rows)]
        with atomic_write(self.path) as temporary:
            # bytes: the end of a line is the same on every system
            temporary.write_bytes(''.join(f'{line}\n' for line in lines).encode())
        print_log(f'{len(lines) - 1} probes written to {self.path}', logger='current')


@METRICS.register_module()
class GREWSubmission(Submission):
    """GREW: each probe video with its 20 nearest gallery subjects, as numbers.

    Args:
        path (str): CSV to write.
        gallery (Sequence[str]): Conditions of the gallery.
        probe (Sequence[str]): Conditions of the probes; their view is the video's identifier.
        **kwargs: See :class:`GaitMetric`.
    """

    RANKS = 20

    def __init__(self, path: str, gallery: Sequence[str] = ('01', '02'),
                 probe: Sequence[str] = ('03',), **kwargs) -> None:
        super().__init__(path, **kwargs)
        self.gallery = gallery
        self.probe = probe

    def judge(self, data: EmbeddingSet) -> dict:
        """Write the file; returns the number of probes."""
        gallery = self._part(data, 'gallery', self.gallery)
        probe = self._part(data, 'probe', self.probe)
        if len(gallery) < self.RANKS:
            raise ValueError(f'the gallery has {len(gallery)} sequences; a submission ranks '
                             f'{self.RANKS}')
        odd = [s for s in gallery.subjects if not (s.isascii() and s.isdecimal())]
        if odd:
            raise ValueError(f'the gallery has a subject {str(odd[0])!r}; GREW names its subjects '
                             'by numbers, and so does a submission')
        ranked = top_subjects(probe, gallery, self.distance, self.RANKS)
        self._write(['videoId', *(f'rank{i + 1}' for i in range(self.RANKS))],
                    ([video, *map(int, row)] for video, row in zip(probe.views, ranked)))
        return {'probes': len(probe)}


@METRICS.register_module()
class HIDSubmission(Submission):
    """HID: each probe video with the subject of the nearest gallery sequence.

    Args:
        path (str): CSV to write.
        rerank (bool): Rank by k-reciprocal neighbours (k1=6, k2=6, weight 0.3 of the distance).
        video (str): What names a probe's video: ``'view'``, or ``'condition'`` in trees whose view
            is ``default``.
        **kwargs: See :class:`GaitMetric`.
    """

    PROBE = 'probe'

    def __init__(self, path: str, rerank: bool = True, video: str = 'view', **kwargs) -> None:
        super().__init__(path, **kwargs)
        if video not in ('view', 'condition'):
            raise ValueError(f"video must be 'view' or 'condition', not {video!r}")
        self.rerank = rerank
        self.video = video

    def judge(self, data: EmbeddingSet) -> dict:
        """Write the file; returns the number of probes."""
        is_probe = data.subjects == self.PROBE
        if not is_probe.any() or is_probe.all():
            raise ValueError(f'{int(is_probe.sum())} of {len(data)} test sequences belong to the '
                             f'subject {self.PROBE!r}; the others are the gallery')
        probe, gallery = data.select(is_probe), data.select(~is_probe)
        videos = probe.views if self.video == 'view' else probe.conditions
        if len(set(videos)) < len(videos):
            raise ValueError(f'{len(videos)} probes have {len(set(videos))} names of videos, such '
                             f'as {str(videos[0])!r}: set video to what names them, the view or '
                             'the condition')
        self._write(['videoID', 'label'], zip(videos, self._nearest(probe, gallery)))
        return {'probes': len(probe)}

    def _nearest(self, probe: EmbeddingSet, gallery: EmbeddingSet) -> np.ndarray:
        if not self.rerank:
            return top_subjects(probe, gallery, self.distance, 1)[:, 0]
        both = EmbeddingSet(torch.cat([probe.embeddings, gallery.embeddings], 1),
                            *(np.concatenate([getattr(probe, k), getattr(gallery, k)])
                              for k in ('subjects', 'conditions', 'views')))
        distance = torch.cat([d.cpu() for _, d in self.distance.rows(both, both)]).numpy()
        return gallery.subjects[k_reciprocal_distance(distance, len(probe)).argmin(1)]
