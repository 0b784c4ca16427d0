"""mmcv-lite has no compiled operators, yet mmdet and mmpose import them, and detectors need one."""
from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings

import numpy as np
import torch
from torch import Tensor

from .repair import RepairSpec
from .standin import StandInModule

_MESSAGE = ('mmcv-lite has no compiled operators; models that use them need the full mmcv '
            '(`mim install "mmcv==2.1.0"`, see `python -m razor_ext.check_env`).')


def _not_available() -> str:
    return 'n/a'


def mend_ops() -> bool:
    """Stand in for the compiled extension, so that ``mmcv.ops`` can be imported.

    Only the extension is replaced: the Python part of ``mmcv.ops`` is mmcv's own, operators that
    are written in Python work, and a compiled one raises when it runs.
    """
    if importlib.util.find_spec('mmcv._ext') is not None:
        return False
    extension = StandInModule('mmcv._ext', _MESSAGE)
    # mmcv.utils.collect_env asks for both and expects text.
    extension.get_compiler_version = _not_available
    extension.get_compiling_cuda_version = _not_available
    sys.modules[extension.__name__] = extension
    importlib.import_module('mmcv')._ext = extension
    return True


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0,
        block: int = 512) -> Tensor:
    """Suppress boxes that overlap a box of higher score, as mmcv's compiled operator does.

    Args:
        boxes: [N, 4], left, top, right, bottom.
        scores: [N].
        iou_threshold: Overlap (intersection over union) above which a box goes.
        offset: Added to every width and height, 0 or 1.
        block: Boxes compared with all others at a time, which bounds the memory.

    Returns:
        Tensor: Indices of the boxes left, by descending score.
    """
    with warnings.catch_warnings():
        # An export traces the operator, of which this is the inside: NumPy, so as not to be traced.
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        corners, values = boxes.detach().cpu().numpy(), scores.detach().cpu().numpy()
        return torch.from_numpy(_suppress(corners, values, iou_threshold, offset, block)).to(
            boxes.device)


def _suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float, offset: int,
              block: int) -> np.ndarray:
    order = np.argsort(-scores, kind='stable')
    kept = [order[:0]]
    while len(order):
        head, order = order[:block], order[block:]
        overlaps = np.triu(_iou(boxes[head], boxes[head], offset) > threshold, 1)
        alive = np.ones(len(head), bool)
        for index in range(len(head)):
            if alive[index]:
                alive &= ~overlaps[index]
        kept.append(head[alive])
        covered = _iou(boxes[kept[-1]], boxes[order], offset) > threshold
        order = order[~covered.any(0)]
    return np.concatenate(kept)


def _iou(one: np.ndarray, other: np.ndarray, offset: int) -> np.ndarray:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.maximum(high - low + offset, 0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2] + offset).prod(-1) for boxes in (one, other)]
    with np.errstate(divide='ignore', invalid='ignore'):  # boxes without an area overlap nothing
        return shared / (areas[0][:, None] + areas[1][None] - shared)


def supply_nms() -> bool:
    """Give the stand-in for the compiled extension a non-maximum suppression."""
    extension = sys.modules.get('mmcv._ext')
    if not isinstance(extension, StandInModule):
        return False
    extension.nms = nms
    return True


REPAIRS = (
    RepairSpec(
        'mmcv-ops', 'mmcv',
        'mmcv-lite comes without mmcv._ext, so nothing that imports mmcv.ops can be imported',
        mend_ops),
    RepairSpec(
        'mmcv-nms', 'mmcv',
        'mmcv-lite comes without non-maximum suppression, so no detector can be tested or exported',
        supply_nms),
)
