"""What MMDeploy exports of a one-stage detector, its head's own outputs included.

The predictions of a file, boxes left by non-maximum suppression, are a choice: where two scores are
equal but for rounding, another box may be left. The outputs of the head are what a file can be
compared by, so that they are exported too, and hidden inside the file afterwards.
"""
from __future__ import annotations

from typing import Any

import torch
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


def clip_boxes(dets: Tensor, shape: Any) -> Tensor:
    """Cut boxes off at the sides of the image, as torch's own predictions are.

    Args:
        dets: [1, n, 5], corners and score.
        shape: (height, width), numbers or a tensor.
    """
    height, width = (torch.as_tensor(side) for side in shape)
    sides = torch.stack([width, height, width, height]).to(dets.dtype)
    return torch.cat([torch.minimum(dets[..., :4].clamp(min=0), sides), dets[..., 4:]], -1)


@FUNCTION_REWRITER.register_rewriter(
    'mmdet.models.detectors.single_stage.SingleStageDetector.forward', extra_checkers=Always())
def single_stage_detector__forward(self, batch_inputs, data_samples=None, mode='tensor', **kwargs):
    """Return the predictions, and behind them the outputs of the head."""
    # MMDeploy runs a copy of this function, so nothing from outside may be used in it.
    import warnings

    import torch
    from mmdeploy.codebase.mmdet.models.detectors.single_stage import _set_metainfo
    from mmdeploy.core import FUNCTION_REWRITER
    from mmdeploy.utils import is_dynamic_shape

    from razor_ext.detection.deploy.rewriters import clip_boxes, flatten
    shape: Any = torch._shape_as_tensor(batch_inputs)[2:]
    if not is_dynamic_shape(FUNCTION_REWRITER.get_context().cfg):
        with warnings.catch_warnings():  # that a static size is a constant is meant
            warnings.simplefilter('ignore', torch.jit.TracerWarning)
            shape = [int(side) for side in shape]
    metas = [sample.metainfo for sample in _set_metainfo(data_samples, shape)]
    outputs = self.bbox_head(self.extract_feat(batch_inputs))
    predictions = self.bbox_head.predict_by_feat(*outputs, batch_img_metas=metas, rescale=False)
    dets, *others = predictions
    return (clip_boxes(dets, shape), *others, *flatten(outputs))


@FUNCTION_REWRITER.register_rewriter('mmdeploy.mmcv.ops.nms.ONNXNMSop.forward')
def onnx_nms__forward(ctx, boxes, scores, *limits):
    """Suppress in torch what ONNX does, whose boxes are any two opposite corners.

    A detector whose distances are not bounded gives some boxes of negative width.
    """
    import torch
    from mmdeploy.core import FUNCTION_REWRITER
    corners = boxes.unflatten(-1, (2, 2))
    ordered = torch.cat([corners.amin(-2), corners.amax(-2)], -1)
    return FUNCTION_REWRITER.get_context().origin_func(ctx, ordered, scores, *limits)
