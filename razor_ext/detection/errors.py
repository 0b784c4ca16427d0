"""Detectors that are refused, and why."""
from __future__ import annotations

from mmdet.models.detectors.two_stage import TwoStageDetector
from torch import nn

from razor_ext.graph import GraphError


class UnsupportedDetectorError(GraphError):
    """A detector that is not compressed and deployed from end to end.

    Args:
        model: The detector.
    """

    def __init__(self, model: nn.Module) -> None:
        if isinstance(model, TwoStageDetector):
            why = ('it has two stages, and the second one runs on as many regions as the first one '
                   'finds in an image, so that its shapes depend on the data')
        else:
            why = 'it is no detector of one stage'
        super().__init__(
            f'{type(model).__name__} cannot be compressed and deployed: {why}. Take a '
            'SingleStageDetector of mmdet (RTMDet, YOLOX, RetinaNet, FCOS, GFL, ATSS, ...)')
