from __future__ import annotations

import numpy as np
import pytest

from razor_ext.walker.raycast import DepthCanvas, Solids

SIZE = 60


def _swept_balls(a, b, ra, rb, axis, ratio) -> np.ndarray:
    """Depth of a cone as the nearest of 400 flattened balls along it."""
    stretch = np.eye(3) + (ratio - 1) * np.outer(axis, axis)
    u, v = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    ray = stretch[:, 2]
    best = np.full((SIZE, SIZE), np.inf)
    for t in np.linspace(0, 1, 400):
        centre, radius = a + t * (b - a), ra + t * (rb - ra)
        start = np.stack([u, v, 0 * u], -1) - centre
        start = start @ stretch.T
        p, q = start @ ray, (start ** 2).sum(-1) - radius ** 2
        root = p ** 2 - ray @ ray * q
        z = (-p - np.sqrt(np.maximum(root, 0))) / (ray @ ray)
        best = np.where(root > 0, np.minimum(best, z), best)
    return best


@pytest.mark.smoke
@pytest.mark.parametrize('seed', range(12))
def test_cone_is_the_hull_of_its_balls(seed: int):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(15, 45, (2, 3))
    ra, rb = rng.uniform(3, 9, 2)
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    ratio = rng.uniform(.6, 1.8)
    solids, canvas = Solids(), DepthCanvas(SIZE, SIZE)
    solids.cone(3, a, b, ra, rb, axis, ratio)
    canvas.draw(solids)
    expected = _swept_balls(a, b, ra, rb, axis, ratio)
    np.testing.assert_array_equal(canvas.surface == 3, np.isfinite(canvas.depth))
    inside = np.isfinite(expected)
    assert (inside != np.isfinite(canvas.depth)).sum() <= 1
    both = inside & np.isfinite(canvas.depth)
    error = np.abs(expected[both] - canvas.depth[both])
    # One grazed pixel of the rim may see the far side.
    assert np.sort(error)[-2] < .01


def test_the_nearest_surface_wins_and_open_ends_stay_open():
    solids, canvas = Solids(), DepthCanvas(SIZE, SIZE)
    solids.ball(1, np.array([30., 30., 50.]), 12.)
    solids.ball(2, np.array([30., 30., 20.]), 5.)
    canvas.draw(solids)
    assert canvas.surface[30, 30] == 2 and canvas.depth[30, 30] == pytest.approx(15)
    assert canvas.surface[30, 40] == 1
    tube = Solids()
    tube.cone(1, np.array([30., 20., 0.]), np.array([30., 40., 0.]), 6., 6., caps='')
    canvas = DepthCanvas(SIZE, SIZE)
    canvas.draw(tube)
    rows = np.flatnonzero(canvas.surface.any(1))
    assert rows[0] >= 20 and rows[-1] <= 40


def test_solids_beyond_the_border_are_clipped():
    solids, canvas = Solids(), DepthCanvas(SIZE, SIZE)
    solids.cone(1, np.array([-20., 30., 0.]), np.array([80., 30., 0.]), 4., 4.)
    solids.ball(2, np.array([200., 200., 0.]), 4.)
    canvas.draw(solids)
    assert (canvas.surface[30] == 1).all() and not (canvas.surface == 2).any()
    window = canvas.window(margin=0)
    np.testing.assert_array_equal(canvas.cropped(window).surface, canvas.surface[window])
