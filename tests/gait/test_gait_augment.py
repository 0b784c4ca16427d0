"""Augmentations against references of the stated behaviour: offsets, areas, touched borders."""
from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

import razor_ext  # noqa: F401

OPENGAIT = {'style': 'opengait', 'prob': 1.}


def run(cfg, frames, seed):
    np.random.seed(seed)
    return TRANSFORMS.build(cfg)({'frames': frames, 'path': 'a/b.pkl'})['frames']


def columns(width, height=64):
    """A frame whose pixels tell their column: where a row begins and ends can be read off it."""
    return np.broadcast_to(np.arange(width, dtype=np.uint8) * 2, (1, height, width)).copy()


@pytest.mark.parametrize(('width', 'reach'), [(64, 10), (44, 10), (128, 20)])
def test_opengaits_perspective_zooms_along_x_only(width, reach):
    """Each end of the top and of the bottom row shows a column of its own, evenly drawn."""
    transform = TRANSFORMS.build({'type': 'PerspectiveSequence', **OPENGAIT})
    np.random.seed(0)
    drawn = np.stack([transform._corners(64, width)[0] for _ in range(3000)])
    assert (drawn[:, :2, 1] == 0).all() and (drawn[:, 2:, 1] == 64).all()
    for corner, low, high in ((0, 0, reach - 1), (3, 0, reach - 1),
                              (1, width - reach, width - 1), (2, width - reach, width - 1)):
        values, counts = np.unique(drawn[:, corner, 0], return_counts=True)
        assert values.tolist() == list(range(low, high + 1))
        assert counts.min() > 0.7 * 3000 / reach and counts.max() < 1.3 * 3000 / reach
    assert abs(np.corrcoef(drawn[:, :, 0].T)[np.triu_indices(4, 1)]).max() < 0.08
    _, target = transform._corners(64, width)
    assert target.tolist() == [[0, 0], [width, 0], [width, 64], [0, 64]]


def projected(frame, seen, shown):
    """The frame with the quadrilateral `seen` stretched over `shown`, by eight equations."""
    rows = []
    for (u, v), (x, y) in zip(shown, seen):
        rows += [[u, v, 1, 0, 0, 0, -u * x, -v * x, x], [0, 0, 0, u, v, 1, -u * y, -v * y, y]]
    rows = np.array(rows, float)
    h = np.append(np.linalg.solve(rows[:, :8], rows[:, 8]), 1).reshape(3, 3)
    v, u = np.mgrid[:frame.shape[0], :frame.shape[1]]
    x, y, w = np.einsum('ij,jhw->ihw', h, np.stack([u, v, np.ones_like(u)]))
    return cv2.remap(frame, (x / w).astype(np.float32), (y / w).astype(np.float32),
                     cv2.INTER_LINEAR)


@pytest.mark.parametrize('style', ['opengait', 'corrected'])
def test_perspective_moves_pixels_as_drawn(style):
    frame = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8),
                             (5, 5), 0)
    cfg = {'type': 'PerspectiveSequence', 'style': style, 'prob': 1.}
    for seed in range(20):
        out = run(cfg, frame[None], seed)[0].astype(int)
        np.random.seed(seed)
        np.random.random()  # the draw that decides whether
        expected = projected(frame, *TRANSFORMS.build(cfg)._corners(64, 64)).astype(int)
        assert abs(out - expected).mean() < 0.5 and (abs(out - expected) > 6).mean() < 0.01


def test_frames_too_narrow_for_opengaits_perspective():
    with pytest.raises(ValueError, match='frames 40 wide are too narrow'):
        run({'type': 'PerspectiveSequence', **OPENGAIT}, columns(40), 0)


def test_corrected_perspective_moves_every_corner_both_ways():
    transform = TRANSFORMS.build({'type': 'PerspectiveSequence', 'prob': 1.})
    np.random.seed(0)
    moves = np.stack([np.subtract(*transform._corners(64, 44)[::-1]) for _ in range(2000)])
    for axis, size in ((0, 44), (1, 64)):
        assert abs(moves[:, :, axis]).max() <= 0.1 * size
        assert (abs(moves[:, :, axis].mean(0)) < 0.01 * size).all()


@pytest.mark.parametrize(('style', 'centre'), [('opengait', (32, 22)),
                                               ('corrected', (21.5, 31.5))])
def test_rotation_turns_about_its_centre(style, centre):
    """As (x, y): OpenGait takes half the height for x and half the width for y."""
    rng = np.random.default_rng(0)
    frame = cv2.GaussianBlur(rng.integers(0, 256, (64, 44), dtype=np.uint8), (5, 5), 0)[None]
    for seed in range(10):
        out = run({'type': 'RotateSequence', 'style': style, 'prob': 1.}, frame, seed)[0]
        np.random.seed(seed)
        np.random.random()
        angle = np.deg2rad(np.random.uniform(-10, 10))
        y, x = np.mgrid[:64, :44].astype(np.float32)
        dx, dy = x - centre[0], y - centre[1]
        # anticlockwise by the angle, with y downwards: look up where each pixel came from
        source = (centre[0] + np.cos(angle) * dx - np.sin(angle) * dy,
                  centre[1] + np.sin(angle) * dx + np.cos(angle) * dy)
        expected = cv2.remap(frame[0], *(s.astype(np.float32) for s in source), cv2.INTER_LINEAR)
        assert abs(out.astype(int) - expected.astype(int)).max() <= 6
        assert abs(out.astype(int) - expected.astype(int)).mean() < 0.5


def test_rotation_draws_its_angle_evenly():
    frame = np.zeros((1, 65, 65), np.uint8)
    frame[0, 32] = 255  # a line through the centre
    angles = []
    for seed in range(400):
        out = run({'type': 'RotateSequence', **OPENGAIT}, frame, seed)[0]
        rows = (out[:, [8, 56]].astype(float) * np.arange(65)[:, None]).sum(0) \
            / out[:, [8, 56]].sum(0)
        angles.append(np.rad2deg(np.arctan2(rows[0] - rows[1], 48)))
    assert -10.2 < min(angles) < -9 and 9 < max(angles) < 10.2
    assert np.histogram(angles, 4, (-10, 10))[0].min() > 70


@pytest.mark.parametrize('style', ['opengait', 'corrected'])
def test_erasing_is_of_the_stated_areas_and_reaches_every_border(style):
    frame = np.full((1, 64, 44), 255, np.uint8)
    boxes = []
    for seed in range(1500):
        rows, cols = np.nonzero(run({'type': 'EraseSequence', 'style': style, 'prob': 1.},
                                    frame, seed)[0] == 0)
        boxes.append((rows.min(), rows.max() + 1, cols.min(), cols.max() + 1))
    top, bottom, left, right = np.array(boxes).T
    heights, widths = bottom - top, right - left
    shares = heights * widths / (64 * 44)
    assert 0.045 < shares.min() < 0.055 and 0.19 < shares.max() < 0.21
    assert abs(shares.mean() - 0.125) < 0.005  # evenly between 5 and 20 %
    aspects = heights / widths
    assert aspects.min() > 0.27 and aspects.max() < 3.7
    assert heights.max() < 64 and widths.max() < 44
    # offsets run from 0 to what is left, both included
    for start, room in ((top, 64 - heights), (left, 44 - widths)):
        at_start, at_end = (start == 0).mean(), (start == room).mean()
        expected = (1 / (room + 1)).mean()
        assert 0.7 * expected < at_start < 1.3 * expected
        assert 0.7 * expected < at_end < 1.3 * expected


def test_erasing_frame_by_frame():
    frames = np.full((200, 64, 44), 255, np.uint8)
    out = run({'type': 'EraseSequence', 'prob': 0.5, 'per_frame': True}, frames, 0)
    erased = [(f == 0).any() for f in out]
    assert 70 < sum(erased) < 130
    assert len({f.tobytes() for f in out}) > 60
    assert (frames == 255).all()


@pytest.mark.parametrize(('kind', 'corrected'), [
    ('RotateSequence', 0.3), ('PerspectiveSequence', 0.2), ('EraseSequence', 0.3),
    ('FlipSequence', 0.2)])
def test_default_shares(kind, corrected):
    assert TRANSFORMS.build({'type': kind}).prob == corrected
    assert TRANSFORMS.build({'type': kind, 'style': 'opengait'}).prob == 0.5
    assert TRANSFORMS.build({'type': kind, 'style': 'opengait', 'prob': 0.}).prob == 0
    with pytest.raises(ValueError, match="not 'torchvision'"):
        TRANSFORMS.build({'type': kind, 'style': 'torchvision'})


def test_impossible_erasing():
    for bad in ({'area': (0.3, 0.1)}, {'area': (0., 2.)}, {'min_aspect': 0.}):
        with pytest.raises(ValueError, match='area must be'):
            TRANSFORMS.build({'type': 'EraseSequence', **bad})
