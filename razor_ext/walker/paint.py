from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .figure import Figure, Surface
from .outfit import Cloth
from .raycast import DepthCanvas
from .rng import keyed_rng

_GRAIN = 512


@dataclass(frozen=True)
class Light:
    """A lamp far away: the direction `[3]` towards it in camera space, its share of the light."""
    direction: np.ndarray
    share: float


def sample_light(rng: np.random.Generator) -> Light:
    """Draw a light from above, never from behind the person."""
    direction = np.array([rng.normal(0, .8), rng.normal(-.8, .5), -abs(rng.normal(.8, .4)) - .2])
    return Light((direction / np.linalg.norm(direction)).astype(np.float32), rng.uniform(.35, .75))


def paint(figure: Figure, canvas: DepthCanvas, light: Light,
          rng: np.random.Generator) -> np.ndarray:
    """Colour what was drawn: fabrics with patterns and folds, a face, light and contact shadow.

    Args:
        figure: The body, with the outfit.
        canvas: The body drawn.
        light: What shines.
        rng: Where the folds come from.

    Returns:
        np.ndarray: float32 RGB ``[height, width, 3]``, 0 to 255, black where there is no body.
    """
    surface, cloths = canvas.surface, figure.outfit.cloths
    palette = np.stack([cloths[s.garment].colour for s in figure.surfaces])
    palette[0] = 0
    colour = palette.take(surface, 0)
    for number, piece in enumerate(figure.surfaces):
        cloth = cloths[piece.garment]
        if number and cloth.pattern != 'plain':
            _print(colour, number, piece, cloth, canvas, figure.scale)
    _draw_front(colour, figure, canvas)
    _draw_face(colour, figure, canvas)
    soft = np.array([s.garment in ('top', 'bottom', 'hair', 'bag') for s in figure.surfaces])
    colour *= _shade(canvas, soft.take(surface), light, figure.scale, rng)[..., None]
    return np.clip(colour, 0, 255, out=colour)


@lru_cache(maxsize=1)
def grain_bank() -> np.ndarray:
    """float32 ``[4, 512, 512]``: noise of zero mean and unit deviation, finest first."""
    rng, bank = keyed_rng('grain'), []
    for octave in range(4):
        cells = _GRAIN >> octave
        x = rng.standard_normal((cells, cells)).astype(np.float32)
        x = cv2.resize(x, (_GRAIN, _GRAIN), interpolation=cv2.INTER_CUBIC)
        bank.append((x - x.mean()) / x.std())
    return np.stack(bank)


def grain(shape: tuple[int, ...], octave: int, rng: np.random.Generator) -> np.ndarray:
    """A random piece ``[height, width]`` of the bank; at most 512 x 512, magnified beyond that."""
    height, width = shape
    if max(shape) > _GRAIN:
        small = grain((min(height, _GRAIN), min(width, _GRAIN)), octave, rng)
        return cv2.resize(small, (width, height))
    y, x = rng.integers(_GRAIN - height + 1), rng.integers(_GRAIN - width + 1)
    return grain_bank()[octave, y:y + height, x:x + width]


def _print(colour: np.ndarray, number: int, piece: Surface, cloth: Cloth, canvas: DepthCanvas,
           scale: float) -> None:
    rows, columns = np.nonzero(canvas.surface == number)
    if not len(rows):
        return
    local: np.ndarray = canvas.points(rows, columns) - piece.origin.astype(np.float32)
    along = local @ (piece.axis / (cloth.period * scale)).astype(np.float32)
    across = local @ (piece.side / (cloth.period * scale)).astype(np.float32)
    if cloth.pattern == 'stripes':
        second = across % 1 < .4
    elif cloth.pattern == 'bands':
        second = along % 1 < .45
    elif cloth.pattern == 'checks':
        second = (along % 1 < .5) ^ (across % 1 < .5)
    else:
        cells = np.stack([along, across], 1) * 24
        u, v = cells.astype(np.int32).T % _GRAIN
        second = grain_bank()[3, u, v] > .5
    colour[rows[second], columns[second]] = cloth.second


def _draw_front(colour: np.ndarray, figure: Figure, canvas: DepthCanvas) -> None:
    """The neckline, and the front of an open jacket: they tell the chest from the back."""
    numbers = [i for i, s in enumerate(figure.surfaces) if s.part == 'chest' and s.garment == 'top']
    rows, columns = np.nonzero(canvas.surface == numbers[0])
    if not len(rows):
        return
    local: np.ndarray = canvas.points(rows, columns) - figure.at('sternum').astype(np.float32)
    x, y, z = (local @ (figure.skeleton.frames['chest'] / figure.scale).astype(np.float32)).T
    y, front, cloths = np.abs(y), x > 0, figure.outfit.cloths
    if figure.outfit.open_front:
        inner = front & (y < .022)
        colour[rows[inner], columns[inner]] = cloths['top'].second
        seam = front & (np.abs(y - .025) < .006)
        colour[rows[seam], columns[seam]] *= .55
    neckline = front & (z > -.035 + 1.1 * np.maximum(y - .012, 0)) & (y < .05)
    colour[rows[neckline], columns[neckline]] = cloths['skin'].colour


def _draw_face(colour: np.ndarray, figure: Figure, canvas: DepthCanvas) -> None:
    numbers = [i for i, s in enumerate(figure.surfaces) if s.part == 'face']
    rows, columns = np.nonzero(canvas.surface == numbers[0])
    if not len(rows):
        return
    p, o, cloths = figure.params, figure.outfit, figure.outfit.cloths
    local: np.ndarray = canvas.points(rows, columns) - figure.at('head').astype(np.float32)
    size = figure.scale * np.array([p['head_d'], p['head_w'], p['head_h']])
    x, y, z = (local @ (figure.skeleton.frames['head'] / size).astype(np.float32)).T
    y, front = np.abs(y), x > 0

    def tint(where: np.ndarray, shade: np.ndarray) -> None:
        where &= front
        colour[rows[where], columns[where]] = shade

    hair = cloths['hair'].colour
    if o.beard:
        tint((z < -.42) & (x > .1), .8 * hair)
    tint((z > -.66) & (z < -.50) & (y < .36), cloths['lips'].colour)
    tint((np.abs(z - .34) < .07) & (np.abs(y - .42) < .28), .7 * hair)
    eye = ((y - .42) / .24) ** 2 + ((z - .10) / .14) ** 2
    tint(eye < 1, np.array([235., 235., 230.], np.float32))
    tint(((y - .42) / .12) ** 2 + ((z - .10) / .13) ** 2 < 1, np.full(3, 30, np.float32))
    if o.glasses:
        tint((eye > 1) & (eye < 2.4) | (np.abs(z - .14) < .05) & (y < .3),
             np.full(3, 25, np.float32))


def _shade(canvas: DepthCanvas, soft: np.ndarray, light: Light, scale: float,
           rng: np.random.Generator) -> np.ndarray:
    """Lambert's law on the normals of the depth map, folds in what is soft, contact shadows."""
    body = canvas.surface > 0
    depth = np.where(body, canvas.depth, 0.)
    floor = cv2.boxFilter(depth, -1, (5, 5)) / np.maximum(
        cv2.boxFilter(body.astype(np.float32), -1, (5, 5)), .04)
    depth = np.where(body, depth, floor)
    folds = 1.1 * grain(depth.shape, 3, rng) + .35 * grain(depth.shape, 2, rng)
    bumpy = depth + np.where(soft, folds, 0)
    bumpy = cv2.GaussianBlur(bumpy, (3, 3), .7)
    gx = cv2.Sobel(bumpy, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    gy = cv2.Sobel(bumpy, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    dx, dy, dz = light.direction
    lambert = (dx * gx + dy * gy - dz) / np.sqrt(gx * gx + gy * gy + 1)
    shade = (1 - light.share) + 1.15 * light.share * np.maximum(lambert, 0)
    around = cv2.blur(depth, (9, 9))
    return shade * (1 - np.clip((depth - around) / (.12 * scale), 0, .45))
