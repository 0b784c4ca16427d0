from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .paint import grain
from .rng import hsv, keyed_rng

_TILE = 384


def backdrop(height: int, width: int, clutter: float, rng: np.random.Generator) -> np.ndarray:
    """A wall and a floor of random materials, and things standing and hanging about.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        clutter: Scale of the number of things, and below 1 of the contrast of the materials.
        rng: Where the chances come from.

    Returns:
        np.ndarray: uint8 RGB ``[height, width, 3]``.
    """
    image = _material(height, width, min(clutter, 1.), rng)
    if rng.random() < .7:
        horizon = int(height * rng.uniform(.35, .85))
        image[horizon:] = _material(height - horizon, width, min(clutter, 1.), rng)
    for _ in range(rng.poisson(9 * clutter)):
        thing(image, rng)
    return image


def thing(image: np.ndarray, rng: np.random.Generator, mask: np.ndarray | None = None) -> None:
    """Draw one object into the image, and its outline into the mask.

    Args:
        image: uint8 RGB ``[height, width, 3]``, changed in place.
        rng: Where the chances come from.
        mask: uint8 ``[height, width]``, set to 255 where the object is.
    """
    height, width = image.shape[:2]
    centre = np.array([rng.uniform(0, width), rng.uniform(.1, 1.1) * height])
    size = np.array([width, height]) * rng.uniform(.04, .30, 2)
    kind = rng.integers(4)
    if kind == 0:       # a box
        size = size[::1 if rng.random() < .5 else -1]
        polygon = cv2.boxPoints((tuple(centre), tuple(1.2 * size), float(rng.normal(0, 12))))
    elif kind == 1:     # something round
        polygon = cv2.ellipse2Poly(tuple(centre.astype(int)), tuple((.6 * size + 1).astype(int)),
                                   int(rng.integers(180)), 0, 360, 15)
    elif kind == 2:     # a pole, a branch, something like a limb
        angle, length = rng.normal(0, .7), rng.uniform(.2, .9) * height
        along = length / 2 * np.array([np.sin(angle), np.cos(angle)])
        across = rng.uniform(.012, .045) * height * np.array([np.cos(angle), -np.sin(angle)])
        taper = rng.uniform(.5, 1.)
        polygon = np.stack([centre - along - across, centre - along + across,
                            centre + along + taper * across, centre + along - taper * across])
    else:               # a crumpled thing
        turns = np.sort(rng.uniform(0, 2 * np.pi, 7))
        radii = rng.uniform(.4, 1., 7)[:, None] * size
        polygon = centre + radii * np.stack([np.cos(turns), np.sin(turns)], 1)
    polygon = np.round(polygon).astype(np.int32)
    (x0, y0), (x1, y1) = np.maximum(polygon.min(0), 0), polygon.max(0) + 1
    window = image[y0:y1, x0:x1]
    if not window.size:
        return
    shape = np.zeros(window.shape[:2], np.uint8)
    cv2.fillPoly(shape, [polygon - (x0, y0)], 255)
    skin_like = rng.random() < .25
    base = hsv(rng.uniform(.02, .09) if skin_like else rng.random(),
               rng.uniform(.25, .6) if skin_like else rng.beta(1.1, 1.6), rng.uniform(.15, .95))
    shading = 1 + rng.uniform(.03, .16) * grain(shape.shape, int(rng.integers(4)), rng)
    ramp = np.linspace(rng.uniform(.6, 1), rng.uniform(.6, 1), shape.shape[1], dtype=np.float32)
    texture = np.clip((shading * ramp)[..., None] * base, 0, 255).astype(np.uint8)
    cv2.copyTo(texture, shape, window)
    if mask is not None:
        cv2.copyTo(shape, shape, mask[y0:y1, x0:x1])


def _material(height: int, width: int, contrast: float, rng: np.random.Generator) -> np.ndarray:
    bank = _materials()
    tile = bank[rng.integers(len(bank))]
    zoom, angle = rng.uniform(.5, 1.6), rng.normal(0, 8) + 90 * rng.integers(4)
    turn = cv2.getRotationMatrix2D((_TILE / 2, _TILE / 2), float(angle), float(zoom))
    turn[:, 2] += np.array([width, height]) / 2 - _TILE / 2 + rng.uniform(-80, 80, 2)
    image = cv2.warpAffine(tile, turn, (width, height), flags=cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_REFLECT_101)
    tint = hsv(rng.random(), rng.beta(1, 4.), rng.uniform(.45, 1.)) / 255
    flat = np.multiply(1 - contrast, cv2.mean(image)[:3] * tint)
    return cv2.add(cv2.multiply(image, (*(contrast * tint).tolist(), 0.), dtype=cv2.CV_8U),
                   (*flat.tolist(), 0.))


@lru_cache(maxsize=1)
def _materials(count: int = 20) -> tuple[np.ndarray, ...]:
    """Walls, planks, tiles, grass, sky: the same in every process."""
    rng, out = keyed_rng('materials'), []
    y, x = np.mgrid[:_TILE, :_TILE].astype(np.float32)
    for i in range(count):
        base, second = (hsv(rng.random(), rng.beta(1.2, 2), rng.uniform(.3, 1.)) for _ in 'ab')
        rough = [grain((_TILE, _TILE), octave, rng) for octave in range(4)]
        cloud = cv2.resize(rng.standard_normal((6, 6)).astype(np.float32), (_TILE, _TILE),
                           interpolation=cv2.INTER_CUBIC)
        period = rng.uniform(18, 70)
        mixing = (
            .5 + .35 * cloud,
            (y / period % 1 < .08) | ((x / period + y // period % 2) / 2 % 1 < .05),
            (x / period) % 1 < rng.uniform(.05, .5),
            ((x // period) + (y // period)) % 2,
            .5 + .3 * rough[3] + .2 * rough[1])[i % 5]
        mixing = np.clip(mixing, 0, 1).astype(np.float32)[..., None]
        texture = mixing * base + (1 - mixing) * second
        weights = (*rng.uniform(0, .12, 4), .12)
        texture *= 1 + sum(w * r for w, r in zip(weights, (*rough, cloud)))[..., None]
        out.append(np.clip(texture, 0, 255).astype(np.uint8))
    return tuple(out)
