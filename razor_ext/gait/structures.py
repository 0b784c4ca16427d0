"""The data element that travels with a silhouette sequence."""
from __future__ import annotations

from mmengine.structures import BaseDataElement


class GaitDataSample(BaseDataElement):
    """A sequence's label and origin, and its embedding once predicted.

    Fields: ``gt_label`` (LongTensor ``[]``) and, after prediction, ``embedding`` (``[c, p]``).
    Metainfo: ``sample_idx``, ``path``, ``subject``, ``condition``, ``view``, ``num_frames``.
    """
