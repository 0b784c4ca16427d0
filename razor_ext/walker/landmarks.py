from __future__ import annotations

import numpy as np

from .figure import PARTS, Figure
from .raycast import DepthCanvas

# Halpe's 26 body points; the first 17 are COCO's.
KEYPOINTS = (
    'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder', 'right_shoulder',
    'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip', 'right_hip', 'left_knee',
    'right_knee', 'left_ankle', 'right_ankle', 'head', 'neck', 'hip', 'left_big_toe',
    'right_big_toe', 'left_small_toe', 'right_small_toe', 'left_heel', 'right_heel')

# Which parts show each point, and how far the point lies below their surface at most (statures).
_LIMBS = {'shoulder': (('chest', 'upper_arm{}'), .065),
          'elbow': (('upper_arm{}', 'forearm{}'), .04),
          'wrist': (('forearm{}', 'hand{}'), .035), 'hip': (('pelvis', 'thigh{}'), .085),
          'knee': (('thigh{}', 'shin{}'), .055), 'ankle': (('shin{}', 'foot{}'), .04),
          'big_toe': (('foot{}',), .035), 'small_toe': (('foot{}',), .035),
          'heel': (('foot{}',), .04), 'eye': (('face',), .022), 'ear': (('face',), .028)}
_MIDDLE = {'nose': (('face',), .025), 'head': (('face', 'hair'), .07),
           'neck': (('neck', 'chest'), .06), 'hip': (('pelvis', 'chest'), .11)}


def _rule(name: str) -> tuple[tuple[str, ...], float]:
    if name in _MIDDLE:
        return _MIDDLE[name]
    side, limb = name.split('_', 1)
    parts, reach = _LIMBS[limb]
    return tuple(part.format(side[0].upper()) for part in parts), reach


RULES = tuple(_rule(name) for name in KEYPOINTS)


def landmarks(figure: Figure) -> np.ndarray:
    """Where the 26 points are.

    Args:
        figure: The body.

    Returns:
        np.ndarray: float64 ``[26, 3]`` in camera space (pixels).
    """
    p, at = figure.params, figure.at
    h, width, depth = p['head_h'], p['head_w'], p['head_d']
    points = {
        'nose': at('head', 'head', x=1.12 * depth + .009, z=-.25 * h),
        'head': at('head', 'head', z=.94 * h), 'neck': at('sternum', 'chest', z=.015),
        'hip': at('pelvis')}
    for sign, name, side in ((1, 'left', 'L'), (-1, 'right', 'R')):
        points[f'{name}_eye'] = at('head', 'head', x=.86 * depth, y=.42 * sign * width, z=.10 * h)
        points[f'{name}_ear'] = at('head', 'head', x=-.006, y=sign * (1.02 * width + .006),
                                   z=-.1 * h)
        for joint in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle', 'heel'):
            points[f'{name}_{joint}'] = at(joint + side)
        foot = f'foot{side}'
        points[f'{name}_big_toe'] = at('toe' + side, foot, x=.012, y=-.014 * sign)
        points[f'{name}_small_toe'] = at('toe' + side, foot, x=-.008, y=.018 * sign)
    return np.stack([points[name] for name in KEYPOINTS])


def visibility(figure: Figure, points: np.ndarray, canvas: DepthCanvas,
               shown: np.ndarray) -> np.ndarray:
    """COCO's flags: 0 outside the image, 1 inside but hidden, 2 seen.

    A point is seen if the nearest surface at its pixel belongs to the part of the body around it,
    and is no nearer to the camera than that part is thick.

    Args:
        figure: The body.
        points: What :func:`landmarks` returned ``[26, 3]``.
        canvas: The body drawn by itself.
        shown: bool ``[height, width]``, where nothing hides the body.

    Returns:
        np.ndarray: int64 ``[26]``.
    """
    height, width = canvas.depth.shape
    flags = np.zeros(len(points), np.int64)
    columns, rows = np.floor(points[:, :2] + .5).astype(int).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    for i in np.flatnonzero(inside):
        pixel = rows[i], columns[i]
        parts, reach = RULES[i]
        surface = figure.surfaces[canvas.surface[pixel]]
        seen = shown[pixel] and surface.part in parts and (
            canvas.depth[pixel] > points[i, 2] - reach * figure.scale)
        flags[i] = 2 if seen else 1
    return flags


def part_map(figure: Figure, canvas: DepthCanvas) -> np.ndarray:
    """uint8 ``[height, width]``: which of PARTS shows at each pixel."""
    table = np.array([PARTS.index(s.part) for s in figure.surfaces], np.uint8)
    return table[canvas.surface]
