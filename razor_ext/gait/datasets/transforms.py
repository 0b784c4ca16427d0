"""Loading, frame sampling and packing of silhouette sequences."""
from __future__ import annotations

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from razor_ext.registry import TRANSFORMS

from ..structures import GaitDataSample
from .pickle_io import SequenceError, check_frames, load_sequence
from .store import SequenceKey, open_store


def read_sequence(info: dict) -> np.ndarray:
    """Read the frames of an entry of a data set, uint8 ``[s, h, w]`` or ``[s, c, h, w]``.

    Raises:
        SequenceError: If they cannot be read.
    """
    if info['store'] is None:
        return load_sequence(info.get('paths') or [info['path']])
    key = SequenceKey(info['subject'], info['condition'], info['view'])
    return check_frames(open_store(info['store']).read(key), info['path'])


@TRANSFORMS.register_module()
class LoadSilhouettes(BaseTransform):
    """Read ``frames`` from the pickles of a sequence or a store.

    They are silhouettes, uint8 ``[s, h, w]``, or with more channels ``[s, c, h, w]``.

    Args:
        min_frames (int): Sequences with fewer frames are refused.
        channels (int): Channels of a frame; sequences with another number are refused.
    """

    def __init__(self, min_frames: int = 1, channels: int = 1) -> None:
        self.min_frames = min_frames
        self.channels = channels

    def transform(self, results: dict) -> dict:
        """Add ``frames``."""
        frames = read_sequence(results)
        found = frames.shape[1] if frames.ndim == 4 else 1
        if found != self.channels:
            raise SequenceError(f'{results["path"]}: frames of {found} channels, where '
                                f'LoadSilhouettes(channels={self.channels}) expects '
                                f'{self.channels}: choose the pickles by data_in_use')
        if self.channels == 1 and frames.ndim == 4:
            frames = frames[:, 0]
        if len(frames) < self.min_frames:
            raise SequenceError(f'{results["path"]}: {len(frames)} frames are fewer than '
                                f'min_frames={self.min_frames}')
        results['frames'] = frames
        return results


def sample_indices(total: int, count: int, ordered: bool, skip: int = 0) -> np.ndarray:
    """Draw frames of a sequence.

    Args:
        total (int): Frames of the sequence.
        count (int): Frames to draw.
        ordered (bool): Draw a sorted subset of a window of ``count + skip`` frames, for which a
            short sequence is played again (GaitPart, CVPR 2020); otherwise any frames, twice only
            if there are too few (GaitSet, AAAI 2019).
        skip (int): Frames of the window left out.

    Returns:
        np.ndarray: int64 ``[count]``.
    """
    if not ordered:
        return np.random.choice(total, count, replace=total < count)
    window = count + skip
    played = -(-window // total) * total if total < window else total
    start = np.random.randint(played - window + 1)
    return (start + np.sort(np.random.choice(window, count, replace=False))) % total


@TRANSFORMS.register_module()
class SampleFrames(BaseTransform):
    """Choose the frames of a sequence.

    Args:
        mode (str): ``'fixed'`` draws ``num_frames``; ``'unfixed'`` draws a number between
            ``min_frames`` and ``max_frames``; ``'all'`` takes the first ``limit``.
        ordered (bool): See :func:`sample_indices`.
        num_frames (int): For ``'fixed'``.
        min_frames (int): For ``'unfixed'``.
        max_frames (int): For ``'unfixed'``, included.
        skip (int): See :func:`sample_indices`.
        limit (int | None): For ``'all'``; None takes every frame.
    """

    def __init__(self, mode: str = 'fixed', ordered: bool = False, num_frames: int = 30,
                 min_frames: int = 10, max_frames: int = 50, skip: int = 0,
                 limit: int | None = 720) -> None:
        if mode not in ('fixed', 'unfixed', 'all'):
            raise ValueError(f"mode must be 'fixed', 'unfixed' or 'all', not {mode!r}")
        least = min(num_frames, min_frames, 1 if limit is None else limit)
        if least < 1 or max_frames < min_frames or skip < 0:
            raise ValueError(f'impossible frame counts: num_frames={num_frames}, min_frames='
                             f'{min_frames}, max_frames={max_frames}, skip={skip}, limit={limit}')
        self.mode = mode
        self.ordered = ordered
        self.num_frames = num_frames
        self.min_frames = min_frames
        self.max_frames = max_frames
        self.skip = skip
        self.limit = limit

    def transform(self, results: dict) -> dict:
        """Replace ``frames`` by a copy of the chosen ones."""
        frames = results['frames']
        if self.mode == 'all':
            results['frames'] = np.array(frames[:self.limit])
            return results
        count = self.num_frames
        if self.mode == 'unfixed':
            count = np.random.randint(self.min_frames, self.max_frames + 1)
        results['frames'] = frames[sample_indices(len(frames), count, self.ordered, self.skip)]
        return results


@TRANSFORMS.register_module()
class CropSides(BaseTransform):
    """Cut the empty margins of silhouettes.

    Args:
        cut (int | None): Columns cut off each side. None cuts 10 of 64, 20 of 128, leaving 44 per
            64 of the height, and leaves silhouettes alone that have that shape already.
    """

    def __init__(self, cut: int | None = None) -> None:
        if cut is not None and cut < 0:
            raise ValueError(f'cut must be None or at least 0, not {cut}')
        self.cut = cut

    def transform(self, results: dict) -> dict:
        """Crop ``frames``."""
        height, width = results['frames'].shape[-2:]
        cut = width // 64 * 10 if self.cut is None else self.cut
        if self.cut is None and width < 64 and width * 64 != height * 44:
            raise SequenceError(f'{results["path"]}: silhouettes {width} wide and {height} high, '
                                'expected at least 64 wide, or 44 per 64 of the height if they are '
                                'cropped already (drop CropSides to take them as they are)')
        if 2 * cut >= width:
            raise SequenceError(f'{results["path"]}: silhouettes {width} wide leave nothing when '
                                f'cut={cut} columns are cut off each side')
        results['frames'] = results['frames'][..., cut:width - cut]
        return results


@TRANSFORMS.register_module()
class PackGaitInputs(BaseTransform):
    """Pack into ``inputs``, uint8 ``[c, s, h, w]``, and a :class:`GaitDataSample`."""

    META_KEYS = ('sample_idx', 'path', 'subject', 'condition', 'view')

    def transform(self, results: dict) -> dict:
        """Return ``dict(inputs, data_samples)``."""
        frames = results['frames']
        inputs = frames[None] if frames.ndim == 3 else frames.swapaxes(0, 1)
        sample = GaitDataSample(metainfo={k: results[k] for k in self.META_KEYS})
        sample.set_metainfo({'num_frames': len(frames)})
        sample.set_field(torch.tensor(results['label']), 'gt_label')
        return {'inputs': torch.from_numpy(np.ascontiguousarray(inputs)), 'data_samples': sample}
