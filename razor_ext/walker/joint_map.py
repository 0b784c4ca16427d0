"""Maps of the joints of a walk, as SkeletonGait reads them."""
from __future__ import annotations

import cv2
import numpy as np

from .body import sample_subject
from .gait_cycle import sample_walk
from .rng import keyed_rng
from .silhouette import filmed

#: Limbs between the joints of a walk; the head hangs from the neck.
LIMBS = (('head', 'sternum'), ('shoulderL', 'shoulderR'), ('hipL', 'hipR'),
         *((a + side, b + side) for side in 'LR' for a, b in (
             ('shoulder', 'elbow'), ('elbow', 'wrist'), ('shoulder', 'hip'), ('hip', 'knee'),
             ('knee', 'ankle'))))
JOINTS = tuple(sorted({name for limb in LIMBS for name in limb} - {'sternum'}))
#: Share of the height above the centre of the head, and below the ankles, that a figure takes up.
_MARGIN = .075
_SUBPIXEL = 4


def joint_map_sequence(seed: int, subject: str, condition: str, view: str, num_frames: int, *,
                       size: int = 64, sigma: float = 2.) -> np.ndarray:
    """Maps of limbs and joints of the walk that :func:`silhouette_sequence` draws.

    A figure is scaled to the height of the map and centred on its pelvis. What a coat or a bag
    hides is drawn all the same.

    Args:
        seed: Seed of the population.
        subject: Name of the person.
        condition: Name of the walk.
        view: Bearing of the camera in degrees.
        num_frames: Frames at 25 a second.
        size: Height and width of a map in pixels.
        sigma: Width of a joint and of half a limb, in pixels.

    Returns:
        np.ndarray: uint8 ``[num_frames, 2, size, size]``, limbs and joints, the same for the same
        arguments, whichever process asks.

    Raises:
        ValueError: Where the condition, the view or the number of frames has no meaning.
    """
    walk = sample_walk(sample_subject(seed, subject), seed, subject, condition)
    take = filmed(walk, condition, view, num_frames,
                  keyed_rng('view', seed, subject, condition, view))
    at = {name: take.camera.project(take.joints[name]) for name in (*JOINTS, 'sternum', 'pelvis')}
    rows = np.stack([at[name][:, 1] for name in JOINTS])
    top, bottom = rows.min(0), rows.max(0)
    scale = size * (1 - 2 * _MARGIN) / (bottom - top)
    out = np.empty((num_frames, 2, size, size), np.uint8)
    for t in range(num_frames):
        origin = np.array([at['pelvis'][t, 0], top[t]])
        shift = np.array([size / 2, size * _MARGIN])
        points = {name: (position[t] - origin) * scale[t] + shift for name, position in at.items()}
        out[t, 0] = _soft([(points[a], points[b]) for a, b in LIMBS], size, sigma)
        out[t, 1] = _soft([(points[name], points[name]) for name in JOINTS], size, sigma)
    return out


def _soft(lines: list[tuple[np.ndarray, np.ndarray]], size: int, sigma: float) -> np.ndarray:
    """Lines, blurred; the brightest pixel has 255."""
    canvas = np.zeros((size, size), np.float32)
    for ends in lines:
        begin, end = (np.round(point * (1 << _SUBPIXEL)).astype(int).tolist() for point in ends)
        cv2.line(canvas, begin, end, 1., 1, cv2.LINE_8, _SUBPIXEL)
    canvas = cv2.GaussianBlur(canvas, (0, 0), sigma)
    return np.round(canvas * (255 / canvas.max())).astype(np.uint8)
