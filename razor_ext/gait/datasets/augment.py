"""Augmentations; each draws once and treats all frames of a sequence alike."""
from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from razor_ext.registry import TRANSFORMS

#: Share of the sequences that OpenGait changes where a setting names none.
_OPENGAIT_PROB = 0.5


class SequenceAugment(BaseTransform):
    """Applies :meth:`augment` to a share of the sequences.

    Args:
        prob (float | None): That share; None is the default of the style.
        style (str): ``'opengait'`` is what OpenGait does, for training as published;
            ``'corrected'`` is what the augmentation is meant to do.
    """

    #: Share of the sequences under the corrected style.
    default_prob: float

    def __init__(self, prob: float | None = None, style: str = 'corrected') -> None:
        if style not in ('corrected', 'opengait'):
            raise ValueError(f"style must be 'corrected' or 'opengait', not {style!r}")
        if prob is None:
            prob = _OPENGAIT_PROB if style == 'opengait' else self.default_prob
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must lie in [0, 1], not {prob}')
        self.prob = prob
        self.style = style

    def augment(self, frames: np.ndarray) -> np.ndarray:
        """Return changed frames, uint8 ``[s, h, w]`` or ``[s, c, h, w]``."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        """Replace ``frames``."""
        if np.random.random() < self.prob:
            results['frames'] = self.augment(results['frames'])
        return results


def each_plane(frames: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change every image ``[h, w]`` of frames of one or several channels."""
    planes = frames.reshape(-1, *frames.shape[-2:])
    return np.stack([change(plane) for plane in planes]).reshape(frames.shape)


@TRANSFORMS.register_module()
class FlipSequence(SequenceAugment):
    """Mirror left and right."""

    default_prob = 0.2

    def augment(self, frames: np.ndarray) -> np.ndarray:
        """Return mirrored frames."""
        return frames[..., ::-1]


@TRANSFORMS.register_module()
class RotateSequence(SequenceAugment):
    """Rotate about the centre.

    OpenGait takes the height for x and the width for y: frames of 64 rows and 44 columns turn about
    column 32 and row 22, right of the middle and above it.

    Args:
        prob (float | None): Share of the sequences rotated.
        degrees (float): Largest angle, in degrees.
        style (str): See :class:`SequenceAugment`.
    """

    default_prob = 0.3

    def __init__(self, prob: float | None = None, degrees: float = 10.,
                 style: str = 'corrected') -> None:
        super().__init__(prob, style)
        self.degrees = degrees

    def augment(self, frames: np.ndarray) -> np.ndarray:
        """Return rotated frames."""
        h, w = frames.shape[-2:]
        angle = np.random.uniform(-self.degrees, self.degrees)
        centre = (h // 2, w // 2) if self.style == 'opengait' else ((w - 1) / 2, (h - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, angle, 1)
        return each_plane(frames, lambda plane: cv2.warpAffine(plane, matrix, (w, h)))


@TRANSFORMS.register_module()
class PerspectiveSequence(SequenceAugment):
    """Move the four corners.

    OpenGait moves them along x only, and inwards in what is seen: a quadrilateral that leaves out 0
    to 9 columns on the left and 1 to 10 on the right, of 44 to 87, is stretched to the whole width;
    of 88 and more twice as many.

    Args:
        prob (float | None): Share of the sequences changed.
        shift (float): Largest movement of a corner, as a share of the width and height; corrected
            style only.
        style (str): See :class:`SequenceAugment`.
    """

    default_prob = 0.2

    def __init__(self, prob: float | None = None, shift: float = 0.1,
                 style: str = 'corrected') -> None:
        super().__init__(prob, style)
        self.shift = shift

    def _corners(self, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
        """Four points of the frame, clockwise from the top left, and where they go."""
        if self.style == 'opengait':
            reach = w // 44 * 10
            if not reach:
                raise ValueError(f'frames {w} wide are too narrow for the perspective of OpenGait, '
                                 'which needs 44')
            left = np.random.randint(0, reach, 2)
            right = w - np.random.randint(1, reach + 1, 2)
            seen = [[left[0], 0], [right[0], 0], [right[1], h], [left[1], h]]
            return np.array(seen), np.array([[0, 0], [w, 0], [w, h], [0, h]])
        corners = np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]])
        return corners, corners + np.random.uniform(-self.shift, self.shift, (4, 2)) * (w, h)

    def augment(self, frames: np.ndarray) -> np.ndarray:
        """Return frames seen from elsewhere."""
        h, w = frames.shape[-2:]
        seen, moved = self._corners(h, w)
        matrix = cv2.getPerspectiveTransform(seen.astype(np.float32), moved.astype(np.float32))
        return each_plane(frames, lambda plane: cv2.warpPerspective(plane, matrix, (w, h)))


@TRANSFORMS.register_module()
class EraseSequence(SequenceAugment):
    """Blank one rectangle (random erasing, Zhong et al., AAAI 2020).

    The rectangle is lower and narrower than the frame and may touch every border. The styles differ
    in the default share only.

    Args:
        prob (float | None): Share of the sequences changed, or of the frames.
        area (tuple[float, float]): Range of the rectangle's share of the image.
        min_aspect (float): Height over width lies between this and its inverse.
        per_frame (bool): Draw for every frame of its own, whether and where.
        style (str): See :class:`SequenceAugment`.
    """

    default_prob = 0.3

    def __init__(self, prob: float | None = None, area: tuple[float, float] = (0.05, 0.2),
                 min_aspect: float = 0.3, per_frame: bool = False, style: str = 'corrected'
                 ) -> None:
        super().__init__(prob, style)
        if not 0 <= area[0] <= area[1] <= 1 or not 0 < min_aspect <= 1:
            raise ValueError('area must be an ascending range in [0, 1], and min_aspect lie in '
                             f'(0, 1], not {tuple(area)} and {min_aspect}')
        self.area = area
        self.min_aspect = min_aspect
        self.per_frame = per_frame

    def transform(self, results: dict) -> dict:
        """Replace ``frames``."""
        if not self.per_frame:
            return super().transform(results)
        results['frames'] = np.concatenate([
            self.augment(frame[None]) if np.random.random() < self.prob else frame[None]
            for frame in results['frames']])
        return results

    def augment(self, frames: np.ndarray) -> np.ndarray:
        """Return frames with a rectangle of zeros; unchanged if 100 draws do not fit."""
        h, w = frames.shape[-2:]
        for _ in range(100):
            area = np.random.uniform(*self.area) * h * w
            aspect = np.random.uniform(self.min_aspect, 1 / self.min_aspect)
            rows, cols = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if 0 < rows < h and 0 < cols < w:
                top, left = np.random.randint(h - rows + 1), np.random.randint(w - cols + 1)
                frames = frames.copy()
                frames[..., top:top + rows, left:left + cols] = 0
                break
        return frames
