from __future__ import annotations

import hashlib
import time
from multiprocessing import get_context

import numpy as np
import pytest

from razor_ext.walker import KEYPOINTS, PARTS, RULES, SceneOptions, render_scene
from razor_ext.walker.body import sample_subject
from razor_ext.walker.figure import Figure
from razor_ext.walker.landmarks import landmarks, part_map, visibility
from razor_ext.walker.outfit import sample_outfit
from razor_ext.walker.postures import _mirrored, sample_angles
from razor_ext.walker.raycast import DepthCanvas
from razor_ext.walker.rng import keyed_rng
from razor_ext.walker.scene import _FACING
from razor_ext.walker.skeleton import Skeleton, pose_skeleton, rotation

OPTIONS = SceneOptions(size=(96, 128))
ATTENTION = dict.fromkeys(sample_angles(keyed_rng(0)), 0.)
NUMBER = {name: i for i, name in enumerate(KEYPOINTS)}


def _digest(index: int) -> str:
    scene = render_scene(5, index, OPTIONS)
    people = b''.join(p.keypoints.tobytes() + p.parts.tobytes() for p in scene.people)
    return hashlib.sha256(scene.image.tobytes() + people).hexdigest()


def _look(yaw: float, angles: dict | None = None, size: int = 240) -> tuple:
    """A person at attention seen from some side: figure, canvas, points, flags."""
    params = sample_subject(0, '001', 0.).params
    outfit = sample_outfit(keyed_rng('outfit'))
    outfit = type(outfit)(**{**vars(outfit), 'hair': 'short', 'hat': False, 'backpack': False,
                             'tail': 0., 'skirt': False})
    scale = .8 * size
    skeleton = pose_skeleton(params, {**ATTENTION, 'arm_abductL': 25., 'arm_abductR': 25.,
                                      **(angles or {})})
    skeleton = skeleton.transformed(_FACING @ rotation('z', yaw), scale)
    skeleton = Skeleton({k: v + (size / 2, size / 2, 0.) for k, v in skeleton.joints.items()},
                        skeleton.frames)
    figure, canvas = Figure(params, skeleton, outfit, scale), DepthCanvas(size, size)
    canvas.draw(figure.solids)
    points = landmarks(figure)
    return figure, canvas, points, visibility(figure, points, canvas, canvas.surface > 0)


@pytest.mark.smoke
def test_scene_is_well_formed():
    for index in range(20):
        scene = render_scene(0, index, OPTIONS)
        assert scene.image.shape == (128, 96, 3) and scene.image.dtype == np.uint8
        assert 20 <= scene.quality <= 95
        for person in scene.people:
            x, y, w, h = person.bbox
            assert min(x, y) >= 0 and x + w <= 96 and y + h <= 128 and min(w, h) > 0
            assert 0 < person.area <= w * h
            flags = person.keypoints[:, 2]
            assert set(flags) <= {0., 1., 2.}
            assert not person.keypoints[flags == 0].any()
            inside = person.keypoints[flags > 0]
            assert (inside[:, :2] > -.5).all()
            assert (inside[:, 0] < 95.5).all() and (inside[:, 1] < 127.5).all()


def test_other_processes_draw_the_same():
    here = [_digest(i) for i in range(6)]
    assert len(set(here)) == 6
    with get_context('fork').Pool(2) as pool:
        assert pool.map(_digest, range(5, -1, -1), chunksize=1) == here[::-1]
    with get_context('spawn').Pool(1) as pool:
        assert pool.map(_digest, range(2)) == here[:2]


def test_visible_points_lie_on_their_own_part():
    seen = np.zeros(len(KEYPOINTS), int)
    for index in range(120):
        for person in render_scene(1, index, OPTIONS).people:
            for i, (x, y, flag) in enumerate(person.keypoints):
                if flag == 2:
                    part = PARTS[person.parts[int(np.floor(y + .5)), int(np.floor(x + .5))]]
                    assert part in RULES[i][0], (KEYPOINTS[i], part)
                    seen[i] += 1
    assert seen.min() > 15, dict(zip(KEYPOINTS, seen))


def test_limbs_run_between_their_joints():
    """What is drawn as a left forearm lies along the line from left elbow to left wrist."""
    for yaw in (0, 140, 250):
        figure, canvas, points, _ = _look(yaw, {'elbowL': 60., 'arm_flexR': 120.})
        parts = part_map(figure, canvas)
        for side, name in (('L', 'left'), ('R', 'right')):
            for part, first, last in (('forearm', 'elbow', 'wrist'), ('shin', 'knee', 'ankle')):
                rows, columns = np.nonzero(parts == PARTS.index(part + side))
                a, b = (points[NUMBER[f'{name}_{j}'], :2] for j in (first, last))
                pixels = np.stack([columns, rows], 1)
                t = np.clip((pixels - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
                away = np.linalg.norm(a + t[:, None] * (b - a) - pixels, axis=1)
                assert len(rows) == 0 or away.max() < .06 * figure.scale


def test_front_back_and_sides():
    _, _, points, flags = _look(0)
    left, right = points[NUMBER['left_shoulder']], points[NUMBER['right_shoulder']]
    assert left[0] > right[0], 'who faces us has the left hand on our right'
    for name in ('nose', 'left_eye', 'right_eye', 'neck', 'left_wrist', 'right_wrist', 'left_hip',
                 'right_hip', 'left_knee', 'left_ankle', 'right_big_toe', 'right_small_toe'):
        assert flags[NUMBER[name]] == 2, name
    assert flags[NUMBER['left_heel']] == 1
    big, small = points[NUMBER['left_big_toe']], points[NUMBER['left_small_toe']]
    assert small[0] > big[0], 'the small toe is outside'

    _, _, points, flags = _look(180)
    assert points[NUMBER['left_shoulder'], 0] < points[NUMBER['right_shoulder'], 0]
    for name in ('nose', 'left_eye', 'right_eye', 'left_big_toe'):
        assert flags[NUMBER[name]] == 1, name
    for name in ('left_heel', 'right_heel', 'left_elbow', 'right_elbow', 'head'):
        assert flags[NUMBER[name]] == 2, name

    angles = {f'arm_{k}{s}': v for s in 'LR' for k, v in (('abduct', 3.), ('flex', 70.))}
    _, _, _, flags = _look(90, angles)
    near, far = ('left', 'right') if flags[NUMBER['left_ear']] == 2 else ('right', 'left')
    for joint in ('ear', 'shoulder', 'elbow', 'hip'):
        assert flags[NUMBER[f'{near}_{joint}']] == 2, (near, joint)
        assert flags[NUMBER[f'{far}_{joint}']] == 1, (far, joint)


def test_an_object_in_front_hides():
    figure, canvas, points, flags = _look(0)
    shown = canvas.surface > 0
    shown[:, shown.shape[1] // 2:] = False
    hidden = visibility(figure, points, canvas, shown)
    covered = points[:, 0] >= shown.shape[1] / 2
    assert (hidden[covered] == 1).all()
    np.testing.assert_array_equal(hidden[~covered], flags[~covered])


def test_mirrored_angles_mirror_the_body():
    params = sample_subject(0, '001', 0.).params
    swap = {'L': 'R', 'R': 'L'}
    for index in range(10):
        angles = sample_angles(keyed_rng(index))
        here = pose_skeleton(params, angles).joints
        there = pose_skeleton(params, _mirrored(angles)).joints
        for name, position in here.items():
            other = name[:-1] + swap[name[-1]] if name[-1] in swap else name
            np.testing.assert_allclose(there[other], position * (1, -1, 1), atol=1e-12)


def test_bones_are_rigid_in_every_posture():
    params = sample_subject(0, '002').params
    for index in range(20):
        joints = pose_skeleton(params, sample_angles(keyed_rng(index))).joints
        for a, b, length in (('hip', 'knee', 'thigh'), ('knee', 'ankle', 'shank'),
                             ('shoulder', 'elbow', 'upper_arm'), ('elbow', 'wrist', 'fore_arm')):
            for side in 'LR':
                assert np.linalg.norm(joints[a + side] - joints[b + side]) == pytest.approx(
                    params[length])


def test_people_differ_in_posture_and_place():
    people = [p for i in range(60) for p in render_scene(2, i, OPTIONS).people]
    shown = np.stack([p.keypoints for p in people])
    assert .3 < (shown[..., 2] == 2).mean() < .9
    left_of = shown[:, 5, 0] > shown[:, 6, 0]
    assert .3 < left_of.mean() < .7, 'as many seen from the front as from behind'


def test_yaw_limits_where_people_face():
    options = SceneOptions(size=(96, 128), people=(1, 1), yaw=20., roll=0., variety=0.)
    for index in range(20):
        for person in render_scene(3, index, options).people:
            (left, _, seen_left), (right, _, seen_right) = person.keypoints[[5, 6]]
            assert not (seen_left and seen_right) or left > right


def test_throughput(record_property):
    """About 100 a second on one core; the bound only tells an accident from a busy machine."""
    options = SceneOptions(size=(192, 256), people=(1, 1))
    render_scene(4, 0, options)
    start = time.process_time()
    for index in range(30):
        render_scene(4, index, options)
    rate = 30 / (time.process_time() - start)
    record_property('scenes_per_second', rate)
    assert rate > 15


@pytest.mark.parametrize(('change', 'word'), [
    ({'size': (8, 8)}, 'size'), ({'people': (2, 1)}, 'people'), ({'stature': (0, 1)}, 'stature'),
    ({'variety': 2.}, 'variety'), ({'yaw': 200.}, 'yaw'), ({'occlusion': -1.}, 'occlusion')])
def test_bad_options_are_named(change: dict, word: str):
    with pytest.raises(ValueError, match=word):
        SceneOptions(**change)
