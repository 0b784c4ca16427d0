"""What MMDeploy exports of a one-stage detector, its head's own outputs included.

The predictions of a file, boxes left by non-maximum suppression, are a choice: where two scores are
equal but for rounding, another box may be left. The outputs of the head are what a file can be
compared by, so that they are exported too, and hidden inside the file afterwards.
"""
from __future__ import annotations

from mmdeploy.codebase.mmdet import models as _upstream  # noqa: F401  its rewriters
from mmdeploy.core import FUNCTION_REWRITER
from mmdeploy.core.rewriters.rewriter_utils import Checker
from torch import Tensor


class Always(Checker):
    """Goes before MMDeploy's own rewriter of a function, which has no condition."""

    def check(self, env: dict) -> bool:
        """Return True."""
        return True


def flatten(outputs: object) -> list[Tensor]:
    """Return the tensors of a head's outputs, in order."""
    if isinstance(outputs, Tensor):
        return [outputs]
    assert isinstance(outputs, (list, tuple)), type(outputs)
    return [tensor for item in outputs for tensor in flatten(item)]


@FUNCTION_REWRITER.register_rewriter(
    'mmdet.models.detectors.single_stage.SingleStageDetector.forward', extra_checkers=Always())
def single_stage_detector__forward(self, batch_inputs, data_samples=None, mode='tensor', **kwargs):
    """Return the predictions, and behind them the outputs of the head."""
    # MMDeploy runs a copy of this function, so nothing from outside may be used in it.
    import warnings
    from typing import Any

    import torch
    from mmdeploy.codebase.mmdet.models.detectors.single_stage import _set_metainfo
    from mmdeploy.core import FUNCTION_REWRITER
    from mmdeploy.utils import is_dynamic_shape

    from razor_ext.detection.deploy.rewriters import flatten
    shape: Any = torch._shape_as_tensor(batch_inputs)[2:]
    if not is_dynamic_shape(FUNCTION_REWRITER.get_context().cfg):
        with warnings.catch_warnings():  # that a static size is a constant is meant
            warnings.simplefilter('ignore', torch.jit.TracerWarning)
            shape = [int(side) for side in shape]
    metas = [sample.metainfo for sample in _set_metainfo(data_samples, shape)]
    outputs = self.bbox_head(self.extract_feat(batch_inputs))
    predictions = self.bbox_head.predict_by_feat(*outputs, batch_img_metas=metas, rescale=False)
    return (*predictions, *flatten(outputs))
