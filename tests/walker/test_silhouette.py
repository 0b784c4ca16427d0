from __future__ import annotations

import hashlib
from multiprocessing import get_context

import cv2
import numpy as np
import pytest

from razor_ext.walker import (
    CONDITIONS,
    VIEWS,
    joint_map_sequence,
    keyed_rng,
    normalise,
    sample_subject,
    sample_walk,
    silhouette_sequence,
    walk_joints,
)

KEYS = [(0, sid, condition, view, 6) for sid in ('001', '002')
        for condition in ('nm-01', 'bg-02', 'cl-01') for view in ('000', '054', '090')]


def _digest(key: tuple) -> str:
    return hashlib.sha256(silhouette_sequence(*key).tobytes()).hexdigest()


@pytest.mark.smoke
def test_layout_of_a_sequence():
    assert len(VIEWS) == 11 and VIEWS[0] == '000' and VIEWS[-1] == '180'
    assert len(CONDITIONS) == 10
    x = silhouette_sequence(0, '001', 'nm-01', '090', 9)
    assert x.shape == (9, 64, 64) and x.dtype == np.uint8
    assert (x[:, [0, -1]].max(-1) > 0).all(), 'the figure fills the height'
    assert .05 < (x > 127).mean() < .5


def test_other_processes_draw_the_same():
    here = [_digest(key) for key in KEYS]
    assert len(set(here)) == len(KEYS)
    with get_context('fork').Pool(2) as pool:
        assert pool.map(_digest, KEYS[::-1], chunksize=1) == here[::-1]
    with get_context('spawn').Pool(1) as pool:
        assert pool.map(_digest, KEYS[:3]) == here[:3]


def test_every_part_of_the_key_counts():
    base = {'seed': 0, 'subject': '001', 'condition': 'nm-01', 'view': '090', 'num_frames': 4}
    x = silhouette_sequence(**base)
    for change in ({'seed': 1}, {'subject': '002'}, {'condition': 'nm-02'}, {'view': '072'}):
        assert (silhouette_sequence(**{**base, **change}) != x).any(), change
    assert keyed_rng('a', 1).random() == keyed_rng('a', 1).random() != keyed_rng('a1').random()


def test_coat_and_bag_change_the_figure_but_not_the_body():
    area = {'nm-01': [], 'bg-01': [], 'cl-01': []}
    for sid in ('001', '002', '003', '004', '005'):
        subject = sample_subject(3, sid)
        for condition, areas in area.items():
            walk = sample_walk(subject, 3, sid, condition, wobble=0.)
            assert walk.params['thigh'] == subject.params['thigh']
            assert (walk.coat is not None) == (condition == 'cl-01')
            assert (walk.bag is not None) == (condition == 'bg-01')
            x = silhouette_sequence(3, sid, condition, '090', 26, wobble=0., noise=0.)
            areas.append((x > 127).mean())
    assert np.mean(area['cl-01']) > 1.1 * np.mean(area['nm-01'])
    assert np.mean(area['bg-01']) > 1.01 * np.mean(area['nm-01'])


def test_people_differ_more_than_the_walks_of_one():
    def mean_figure(sid: str, condition: str) -> np.ndarray:
        return silhouette_sequence(0, sid, condition, '090', 26).mean(0) / 255

    sids = [f'{i:03d}' for i in range(8)]
    a = np.stack([mean_figure(s, 'nm-01') for s in sids])
    b = np.stack([mean_figure(s, 'nm-02') for s in sids])
    distance = np.square(a[:, None] - b[None]).sum((-1, -2))
    own = np.eye(len(sids), dtype=bool)
    assert distance[own].mean() < .8 * distance[~own].mean()


def test_walking_stands_on_the_floor_with_rigid_bones():
    walk = sample_walk(sample_subject(0, '001'), 0, '001', 'nm-01')
    p, joints = walk.params, walk_joints(walk, np.linspace(0, 1, 40, endpoint=False))
    lowest = np.stack([joints[j + s][:, 2] for j in ('heel', 'toe') for s in 'LR']).min(0)
    np.testing.assert_allclose(lowest, p['r_foot'], atol=1e-9)
    for side in 'LR':
        shin = np.linalg.norm(joints[f'knee{side}'] - joints[f'ankle{side}'], axis=-1)
        np.testing.assert_allclose(shin, p['shank'], rtol=.01)
        forward = joints[f'toe{side}'][:, 0] - joints[f'heel{side}'][:, 0]
        assert forward.mean() > 0, 'feet point where the walker goes'
    assert (joints['hipL'][:, 1] > joints['hipR'][:, 1]).all()


def test_normalise_centres_and_scales():
    mask = np.zeros((100, 90), np.uint8)
    mask[20:70, 60:80] = 255
    out = normalise(mask)
    assert out.shape == (64, 64) and out[0].any() and out[-1].any()
    assert abs(np.average(np.arange(64), weights=out.sum(0)) - 32) < 1.5


@pytest.mark.parametrize(('change', 'word'), [
    ({'condition': 'xx-01'}, "'xx-01'"), ({'view': 'side'}, "'side'"), ({'num_frames': 0}, '0')])
def test_bad_arguments_are_named(change: dict, word: str):
    base = {'seed': 0, 'subject': '001', 'condition': 'nm-01', 'view': '090', 'num_frames': 4}
    with pytest.raises(ValueError, match=word):
        silhouette_sequence(**{**base, **change})


@pytest.mark.parametrize('view', ['000', '054', '090'])
def test_maps_of_joints_lie_in_the_silhouettes(view):
    what = 0, '003', 'nm-01', view, 5
    maps, shapes = joint_map_sequence(*what), silhouette_sequence(*what)
    assert maps.shape == (5, 2, 64, 64) and maps.dtype == np.uint8
    assert np.array_equal(maps, joint_map_sequence(*what))
    assert (maps.max((2, 3)) == 255).all() and not np.array_equal(maps[:, 0], maps[:, 1])
    for shape, joints in zip(shapes, maps):
        body = cv2.dilate(shape, np.ones((7, 7), np.uint8)) > 0
        assert body[(joints > 128).any(0)].mean() > 0.95
    with pytest.raises(ValueError, match="not 'xx'"):
        joint_map_sequence(0, '003', 'xx', view, 5)
