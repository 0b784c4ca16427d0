from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import TRANSFORMS

import razor_ext  # noqa: F401
from razor_ext.gait.datasets.transforms import sample_indices


def run(cfg, frames):
    return TRANSFORMS.build(cfg)({'frames': frames, 'path': 'a/b.pkl'})['frames']


@pytest.mark.smoke
@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.booleans(), st.integers(0, 20),
       st.integers(0, 2**31))
def test_sampled_frames(total, count, ordered, skip, seed):
    np.random.seed(seed)
    index = sample_indices(total, count, ordered, skip)
    assert len(index) == count and index.min() >= 0 and index.max() < total
    if total >= count and not ordered:
        assert len(set(index.tolist())) == count
    if ordered:
        steps = np.diff(index) % total if total > 1 else np.zeros(count - 1)
        if total >= count + skip:
            assert (np.diff(index) > 0).all()
            assert index[-1] - index[0] < count + skip
        elif skip == 0:  # playing it again keeps the order, frame by frame
            assert (steps == 1 % total).all()


def test_ordered_windows_reach_every_frame():
    seen = {int(i) for seed in range(200) for i in _ordered(seed)}
    assert seen == set(range(12))


def _ordered(seed):
    np.random.seed(seed)
    return sample_indices(12, 4, True, 2)


@pytest.mark.parametrize(('cfg', 'low', 'high'), [
    ({'mode': 'fixed', 'num_frames': 30}, 30, 30),
    ({'mode': 'unfixed', 'min_frames': 3, 'max_frames': 5}, 3, 5),
    ({'mode': 'all', 'limit': 7}, 7, 7), ({'mode': 'all'}, 12, 12),
    ({'mode': 'all', 'limit': None}, 12, 12)])
def test_frame_counts(cfg, low, high):
    frames = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    counts = set()
    for seed in range(40):
        np.random.seed(seed)
        out = run({'type': 'SampleFrames', **cfg}, frames)
        counts.add(len(out))
        if cfg['mode'] == 'all':
            assert np.array_equal(out, frames[:high])
    assert min(counts) == low and max(counts) == high


@pytest.mark.parametrize('cfg', [{'mode': 'most'}, {'num_frames': 0}, {'skip': -1},
                                 {'min_frames': 9, 'max_frames': 3}])
def test_sampling_errors(cfg):
    with pytest.raises(ValueError, match=r'mode|frame counts'):
        TRANSFORMS.build({'type': 'SampleFrames', **cfg})


@pytest.mark.parametrize(('width', 'left'), [(64, 44), (128, 88)])
def test_sides_are_cut(width, left):
    x = np.zeros((2, width, width), np.uint8)
    x[:, :, (width - left) // 2:(width + left) // 2] = 255
    out = run({'type': 'CropSides'}, x)
    assert out.shape == (2, width, left) and (out == 255).all()
    assert run({'type': 'CropSides', 'cut': 3}, x).shape == (2, width, width - 6)


def test_sides_cut_already_are_left():
    for height, width in ((64, 44), (32, 22)):
        x = np.ones((1, height, width), np.uint8)
        assert run({'type': 'CropSides'}, x).shape == x.shape
    with pytest.raises(ValueError, match=r'a/b\.pkl: silhouettes 40 wide and 64 high'):
        run({'type': 'CropSides'}, np.zeros((1, 64, 40), np.uint8))
    with pytest.raises(ValueError, match=r'64 wide leave nothing when cut=32'):
        run({'type': 'CropSides', 'cut': 32}, np.zeros((1, 64, 64), np.uint8))
    with pytest.raises(ValueError, match='not -1'):
        TRANSFORMS.build({'type': 'CropSides', 'cut': -1})


AUGMENTS = ['RotateSequence', 'PerspectiveSequence', 'EraseSequence', 'FlipSequence']


@pytest.mark.parametrize('kind', AUGMENTS)
def test_augmentations_treat_all_frames_alike(kind):
    frame = np.random.default_rng(0).integers(1, 256, (64, 44), dtype=np.uint8)
    frames = np.stack([frame] * 3)
    np.random.seed(0)
    out = run({'type': kind, 'prob': 1.}, frames)
    assert out.shape == frames.shape and out.dtype == np.uint8
    assert np.array_equal(out[0], out[1]) and np.array_equal(out[1], out[2])
    assert not np.array_equal(out, frames) and np.array_equal(frames[0], frame)
    assert run({'type': kind, 'prob': 0.}, frames) is frames
    with pytest.raises(ValueError, match='prob'):
        TRANSFORMS.build({'type': kind, 'prob': 2})


def test_share_of_augmented_sequences():
    x = np.zeros((1, 4, 4), np.uint8)
    x[:, :, 0] = 1
    np.random.seed(0)
    flips = [run({'type': 'FlipSequence', 'prob': 0.3}, x)[0, 0, 0] == 0 for _ in range(2000)]
    assert 0.27 < np.mean(flips) < 0.33


def test_rotation_is_about_the_centre():
    x = np.zeros((1, 65, 45), np.uint8)
    x[:, 32, 22] = 255
    for seed in range(5):
        np.random.seed(seed)
        out = run({'type': 'RotateSequence', 'prob': 1., 'degrees': 90.}, x)
        assert out[0, 32, 22] > 200


def test_erased_area():
    x = np.full((2, 64, 44), 255, np.uint8)
    for seed in range(50):
        np.random.seed(seed)
        out = run({'type': 'EraseSequence', 'prob': 1.}, x)
        share = (out[0] == 0).mean()
        assert 0.04 < share < 0.22
        rows, cols = np.nonzero(out[0] == 0)
        assert (np.ptp(rows) + 1) * (np.ptp(cols) + 1) == (out[0] == 0).sum()
