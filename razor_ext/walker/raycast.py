from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Solids:
    """Round cones and balls in camera space, collected part by part.

    Camera space is measured in pixels: x right, y down, z away from the camera, parallel rays. A
    solid may be flattened: `ratio` is its width over its thickness along the unit vector `axis`,
    and its radii are those across.
    """
    cones: list = field(default_factory=list)
    balls: list = field(default_factory=list)

    def cone(self, surface: int, a: np.ndarray, b: np.ndarray, ra: float, rb: float,
             axis: np.ndarray | None = None, ratio: float = 1., caps: str = 'ab') -> None:
        """Add the hull of two balls; `caps` names the ends that are round, the others are open."""
        axis = np.zeros(3) if axis is None else axis
        self.cones.append((surface, ra, rb, ratio, *a, *b, *axis))
        if 'a' in caps:
            self.ball(surface, a, ra, axis, ratio)
        if 'b' in caps:
            self.ball(surface, b, rb, axis, ratio)

    def ball(self, surface: int, centre: np.ndarray, radius: float,
             axis: np.ndarray | None = None, ratio: float = 1.) -> None:
        """Add a ball, flattened along `axis`."""
        axis = np.zeros(3) if axis is None else axis
        self.balls.append((surface, radius, ratio, *centre, *axis))


class DepthCanvas:
    """What the camera sees of solids: the nearest depth and the surface it belongs to.

    Args:
        height: Height of the image in pixels.
        width: Its width.

    Attributes:
        depth: float32 ``[height, width]``, infinite where there is nothing.
        surface: uint8 ``[height, width]``, 0 where there is nothing.
        corner: x and y of the first pixel.
    """

    def __init__(self, height: int, width: int) -> None:
        self.depth = np.full((height, width), np.inf, np.float32)
        self.surface = np.zeros((height, width), np.uint8)
        self.corner = (0, 0)
        self._x = np.arange(width, dtype=np.float32)[None]
        self._y = np.arange(height, dtype=np.float32)[:, None]

    def window(self, margin: int = 2) -> tuple[slice, slice]:
        """Rows and columns of what was drawn, and a margin; something must have been."""
        rows, columns = (np.flatnonzero(self.surface.any(axis)) for axis in (1, 0))
        return (slice(max(rows[0] - margin, 0), rows[-1] + 1 + margin),
                slice(max(columns[0] - margin, 0), columns[-1] + 1 + margin))

    def cropped(self, window: tuple[slice, slice]) -> DepthCanvas:
        """A view of a part of the canvas."""
        part = DepthCanvas(0, 0)
        part.depth, part.surface = self.depth[window], self.surface[window]
        part.corner = (self.corner[0] + window[1].start, self.corner[1] + window[0].start)
        return part

    def points(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Where in camera space ``[n, 3]`` the surface at some pixels is."""
        return np.stack([columns + self.corner[0], rows + self.corner[1],
                         self.depth[rows, columns]], 1).astype(np.float32)

    def draw(self, solids: Solids) -> None:
        """Cast one ray through the centre of every pixel.

        The discriminant of a ray against a cone or a ball is a quadratic form of the pixel's
        position, so each solid costs a handful of array operations over its bounding box. The
        intersection is that of sphere-swept segments (Quilez, "round cone", 2018), in a space
        stretched so that flattened solids are round.
        """
        with np.errstate(invalid='ignore'):
            if solids.balls:
                self._draw_balls(np.array(solids.balls, np.float64))
            if solids.cones:
                self._draw_cones(np.array(solids.cones, np.float64))

    def _clip(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice] | None:
        height, width = self.depth.shape
        x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
        x1, y1 = min(int(high[0]) + 2, width), min(int(high[1]) + 2, height)
        return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None

    def _draw_balls(self, x: np.ndarray) -> None:
        surface, radius, centre = x[:, 0].astype(int), x[:, 1], x[:, 3:6]
        g, reach, norm = _stretch(x[:, 6:9], x[:, 2])
        ray = g[:, :, 2] / norm[:, None]
        slope = np.einsum('nk,nkj->nj', ray, g[:, :, :2])
        uu, uv, vv = (np.einsum('nk,nk->n', g[:, :, i], g[:, :, j]) for i, j in
                      ((0, 0), (0, 1), (1, 1)))
        scale = 1 / norm ** 2
        form = np.stack([(slope[:, 0] ** 2 - uu) * scale,
                         2 * (slope[:, 0] * slope[:, 1] - uv) * scale,
                         (slope[:, 1] ** 2 - vv) * scale, radius ** 2 * scale], 1)
        slope = slope / norm[:, None]
        low, high = centre[:, :2] - radius[:, None] * reach, centre[:, :2] + radius[:, None] * reach
        for i in range(len(x)):
            window = self._clip(low[i], high[i])
            if window is None:
                continue
            u, v = self._offsets(window, centre[i])
            a, b, c, d = form[i].astype(np.float32)
            h = b * v * u
            h += a * u * u
            h += c * v * v + d
            z = np.sqrt(h, out=h)
            z += np.float32(slope[i, 0]) * u
            z += np.float32(slope[i, 1]) * v
            np.subtract(np.float32(centre[i, 2]), z, out=z)
            self._keep(window, z, z < self.depth[window], surface[i])

    def _draw_cones(self, x: np.ndarray) -> None:
        surface, ra, rb = x[:, 0].astype(int), x[:, 1], x[:, 2]
        a, b = x[:, 4:7], x[:, 7:10]
        g, reach, norm = _stretch(x[:, 10:13], x[:, 3])
        ray = g[:, :, 2] / norm[:, None]
        axis = np.einsum('nij,nj->ni', g, b - a)
        m0, m2, rr = (axis ** 2).sum(1), (axis * ray).sum(1), ra - rb
        d2 = m0 - rr ** 2
        k2 = d2 - m2 ** 2
        along = np.einsum('nk,nkj->nj', axis, g[:, :, :2])
        slope = np.einsum('nk,nkj->nj', ray, g[:, :, :2])
        lin = d2[:, None] * slope - m2[:, None] * along
        const = m2 * rr * ra

        def entry(i: int, j: int) -> np.ndarray:
            quad = d2 * (g[:, :, i] * g[:, :, j]).sum(1) - along[:, i] * along[:, j]
            return lin[:, i] * lin[:, j] - k2 * quad

        bend = 2 * (lin * const[:, None] - (k2 * rr * ra)[:, None] * along)
        form = np.stack([entry(0, 0), 2 * entry(0, 1), entry(1, 1), bend[:, 0], bend[:, 1],
                         const ** 2 + k2 * m0 * ra ** 2], 1)
        with np.errstate(divide='ignore'):
            form /= ((k2 * norm) ** 2)[:, None]
            shift = np.concatenate([lin, const[:, None]], 1) / (k2 * norm)[:, None]
        low = np.minimum(a[:, :2] - ra[:, None] * reach, b[:, :2] - rb[:, None] * reach)
        high = np.maximum(a[:, :2] + ra[:, None] * reach, b[:, :2] + rb[:, None] * reach)
        for i in np.flatnonzero((d2 > 0) & (k2 > 1e-6 * d2)):
            window = self._clip(low[i], high[i])
            if window is None:
                continue
            u, v = self._offsets(window, a[i])
            f, s = form[i].astype(np.float32), shift[i].astype(np.float32)
            h = f[1] * v * u
            h += (f[0] * u + f[3]) * u
            h += (f[2] * v + f[4]) * v + f[5]
            z = np.sqrt(h, out=h)
            z += s[0] * u
            z += s[1] * v + s[2]
            np.negative(z, out=z)
            y = np.float32(norm[i] * m2[i]) * z
            y += np.float32(along[i, 0]) * u
            y += np.float32(along[i, 1]) * v - np.float32(ra[i] * rr[i])
            z += np.float32(a[i, 2])
            near = z < self.depth[window]
            near &= y > 0
            near &= y < np.float32(d2[i])
            self._keep(window, z, near, surface[i])

    def _offsets(self, window: tuple[slice, slice],
                 origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = window
        return self._x[:, columns] - np.float32(origin[0]), self._y[rows] - np.float32(origin[1])

    def _keep(self, window: tuple[slice, slice], z: np.ndarray, near: np.ndarray,
              surface: int) -> None:
        np.copyto(self.depth[window], z, where=near)
        np.copyto(self.surface[window], np.uint8(surface), where=near)


def _stretch(axis: np.ndarray, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps ``[n, 3, 3]`` that make flattened solids round, their reach, the length of a ray."""
    outer = axis[:, :, None] * axis[:, None, :]
    g = np.eye(3) + (ratio - 1)[:, None, None] * outer
    inverse = np.eye(3) + (1 / ratio - 1)[:, None, None] * outer
    return g, np.linalg.norm(inverse[:, :2], axis=2), np.linalg.norm(g[:, :, 2], axis=1)
