from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .body import sample_subject
from .camera import WalkwayCamera
from .gait_cycle import Walk, sample_walk, walk_joints
from .outline import FigureOutline
from .rng import keyed_rng

VIEWS = tuple(f'{v:03d}' for v in range(0, 181, 18))
CONDITIONS = (*(f'nm-{i:02d}' for i in range(1, 7)), 'bg-01', 'bg-02', 'cl-01', 'cl-02')

_CANVAS = 160
_STATURE = .64 * _CANVAS
_SUBPIXEL = 4


def silhouette_sequence(seed: int, subject: str, condition: str, view: str, num_frames: int, *,
                        size: int = 64, spread: float = 1., wobble: float = 1.,
                        noise: float = 1., drift: float = 6.) -> np.ndarray:
    """Silhouettes of one walk seen by one camera, normalised as CASIA-B's are.

    Args:
        seed: Seed of the population.
        subject: Name of the person, such as ``001``.
        condition: Name of the walk: ``nm-NN`` plain, ``bg-NN`` with a bag, ``cl-NN`` in a coat.
        view: Bearing of the camera in degrees, such as ``090``.
        num_frames: Frames at 25 a second.
        size: Height and width of a silhouette in pixels.
        spread: Scale of the differences between people.
        wobble: Scale of the differences between the walks of one person.
        noise: Scale of the faults of segmentation; 0 draws clean silhouettes.
        drift: How far the bearing changes along the walkway, in degrees.

    Returns:
        np.ndarray: uint8 ``[num_frames, size, size]``, 0 or 255 but for the resampled rim. The same
        for the same arguments, whichever process asks.

    Raises:
        ValueError: Where the condition, the view or the number of frames has no meaning.
    """
    walk = sample_walk(sample_subject(seed, subject, spread), seed, subject, condition, wobble)
    rng = keyed_rng('view', seed, subject, condition, view)
    take = filmed(walk, condition, view, num_frames, rng, noise, drift)
    threshold, roughness = take.threshold, take.roughness
    figure = FigureOutline(walk, take.joints, take.camera)

    canvas = np.empty((_CANVAS, _CANVAS), np.uint8)
    out = np.empty((num_frames, size, size), np.uint8)
    for t in range(num_frames):
        canvas[:] = 0
        for polygon in figure.polygons(t):
            points = np.round((polygon * _STATURE + _CANVAS / 2) * (1 << _SUBPIXEL))
            cv2.fillConvexPoly(canvas, points.astype(np.int32), 255, cv2.LINE_8, _SUBPIXEL)
        mask = canvas
        if noise > 0:
            mask = _segment(canvas, threshold, roughness, .06 * noise, rng)
        out[t] = normalise(mask, size)
    return out


@dataclass(frozen=True)
class Take:
    """A walk in front of one camera.

    Attributes:
        joints: What :func:`walk_joints` returned.
        camera: Who looks.
        threshold: Of the segmentation.
        roughness: Of the rim that it gives.
    """
    joints: dict[str, np.ndarray]
    camera: WalkwayCamera
    threshold: float
    roughness: float


def filmed(walk: Walk, condition: str, view: str, num_frames: int, rng: np.random.Generator,
           noise: float = 1., drift: float = 6.) -> Take:
    """Draw where the camera stands and when it starts; see :func:`silhouette_sequence`.

    Raises:
        ValueError: Where the condition, the view or the number of frames has no meaning.
    """
    if not re.fullmatch(r'(nm|bg|cl)-\d+', condition):
        raise ValueError(f"condition must look like 'nm-01', 'bg-01' or 'cl-01', not {condition!r}")
    if not re.fullmatch(r'\d{1,3}', view):
        raise ValueError(f"view must be degrees as digits, such as '090', not {view!r}")
    if num_frames < 1:
        raise ValueError(f'num_frames must be at least 1, not {num_frames}')
    centre = math.radians(float(view) + rng.normal(0, 2.))
    elevation, distance = math.radians(rng.normal(5., 1.5)), rng.uniform(2.6, 3.6)
    threshold, roughness = .5 + noise * rng.normal(0, .06), noise * rng.uniform(.04, .11)
    side = rng.choice((-1, 1))
    phase = walk.phase + rng.uniform() + np.arange(num_frames) / walk.params['cycle']
    phase = (phase + .004 * noise * rng.standard_normal(num_frames).cumsum()) % 1.
    passing = side * math.radians(drift) * math.sin(centre) * np.linspace(-1, 1, num_frames)
    camera = WalkwayCamera(centre + passing, elevation, distance)
    return Take(walk_joints(walk, phase), camera, threshold, roughness)


def normalise(mask: np.ndarray, size: int = 64) -> np.ndarray:
    """Crop a mask to the figure's height, scale it to `size`, centre it on its median column.

    Args:
        mask: uint8 ``[h, w]``; something in it is not 0.
        size: Height and width of the result.

    Returns:
        np.ndarray: uint8 ``[size, size]``.
    """
    rows = np.flatnonzero(mask.max(1))
    mask = mask[rows[0]:rows[-1] + 1]
    width = max(1, round(mask.shape[1] * size / mask.shape[0]))
    mask = cv2.resize(mask, (width, size), interpolation=cv2.INTER_AREA)
    mass = np.cumsum(mask.sum(0, dtype=np.int64))
    median = int(np.searchsorted(mass, mass[-1] / 2))
    mask = np.pad(mask, ((0, 0), (size // 2, size - size // 2)))
    return mask[:, median:median + size]


def _segment(figure: np.ndarray, threshold: float, roughness: float, loss: float,
             rng: np.random.Generator) -> np.ndarray:
    """The figure as background subtraction would find it: rough rim, at times a lost patch."""
    soft = cv2.GaussianBlur(figure, (5, 5), 1.3).astype(np.float32) / 255.
    bank = _noise_bank()
    grain = np.roll(bank[rng.integers(len(bank))], int(rng.integers(_CANVAS)), 1)
    mask = np.where(soft + roughness * grain > threshold, 255, 0).astype(np.uint8)
    if rng.random() < loss:
        ys, xs = np.nonzero(mask)
        i = rng.integers(len(ys))
        axes = int(rng.integers(3, 8)), int(rng.integers(3, 10))
        cv2.ellipse(mask, (int(xs[i]), int(ys[i])), axes, 0, 0, 360, 0, -1)
    return mask


@lru_cache(maxsize=1)
def _noise_bank(count: int = 24) -> tuple[np.ndarray, ...]:
    rng = keyed_rng('noise bank')
    bank = []
    for _ in range(count):
        x = rng.standard_normal((_CANVAS // 4, _CANVAS // 4)).astype(np.float32)
        x = cv2.resize(cv2.GaussianBlur(x, (0, 0), 1.), (_CANVAS, _CANVAS))
        bank.append(x / x.std())
    return tuple(bank)
