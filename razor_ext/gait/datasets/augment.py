"""Augmentations; each draws once and treats all frames of a sequence alike."""
from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from razor_ext.registry import TRANSFORMS


class SequenceAugment(BaseTransform):
    """Applies :meth:`augment` to a share of the sequences.

    Args:
        prob (float): That share.
    """

    def __init__(self, prob: float) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must lie in [0, 1], not {prob}')
        self.prob = prob

    def augment(self, frames: np.ndarray) -> np.ndarray:
        """Return changed frames, uint8 ``[s, h, w]``."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        """Replace ``frames``."""
        if np.random.random() < self.prob:
            results['frames'] = self.augment(results['frames'])
        return results


@TRANSFORMS.register_module()
class FlipSequence(SequenceAugment):
    """Mirror left and right."""

    def __init__(self, prob: float = 0.2) -> None:
        super().__init__(prob)

    def augment(self, frames: np.ndarray) -> np.ndarray:
        """Return mirrored frames."""
        return frames[:, :, ::-1]


@TRANSFORMS.register_module()
class RotateSequence(SequenceAugment):
    """Rotate about the centre.

    Args:
        prob (float): Share of the sequences rotated.
        degrees (float): Largest angle, in degrees.
    """

    def __init__(self, prob: float = 0.3, degrees: float = 10.) -> None:
        super().__init__(prob)
        self.degrees = degrees

    def augment(self, frames: np.ndarray) -> np.ndarray:
        """Return rotated frames."""
        h, w = frames.shape[1:]
        angle = np.random.uniform(-self.degrees, self.degrees)
        matrix = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), angle, 1)
        return np.stack([cv2.warpAffine(f, matrix, (w, h)) for f in frames])


@TRANSFORMS.register_module()
class PerspectiveSequence(SequenceAugment):
    """Move the four corners.

    Args:
        prob (float): Share of the sequences changed.
        shift (float): Largest movement of a corner, as a share of the width and height.
    """

    def __init__(self, prob: float = 0.2, shift: float = 0.1) -> None:
        super().__init__(prob)
        self.shift = shift

    def augment(self, frames: np.ndarray) -> np.ndarray:
        """Return frames seen from elsewhere."""
        h, w = frames.shape[1:]
        corners = np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], np.float32)
        moved = corners + np.random.uniform(-self.shift, self.shift, (4, 2)) * (w, h)
        matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
        return np.stack([cv2.warpPerspective(f, matrix, (w, h)) for f in frames])


@TRANSFORMS.register_module()
class EraseSequence(SequenceAugment):
    """Blank one rectangle (random erasing, Zhong et al., AAAI 2020).

    Args:
        prob (float): Share of the sequences changed.
        area (tuple[float, float]): Range of the rectangle's share of the image.
        min_aspect (float): Height over width lies between this and its inverse.
    """

    def __init__(self, prob: float = 0.3, area: tuple[float, float] = (0.05, 0.2),
                 min_aspect: float = 0.3) -> None:
        super().__init__(prob)
        self.area = area
        self.min_aspect = min_aspect

    def augment(self, frames: np.ndarray) -> np.ndarray:
        """Return frames with a rectangle of zeros; unchanged if 100 draws do not fit."""
        h, w = frames.shape[1:]
        for _ in range(100):
            area = np.random.uniform(*self.area) * h * w
            aspect = np.random.uniform(self.min_aspect, 1 / self.min_aspect)
            rows, cols = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if 0 < rows < h and 0 < cols < w:
                top, left = np.random.randint(h - rows), np.random.randint(w - cols)
                frames = frames.copy()
                frames[:, top:top + rows, left:left + cols] = 0
                break
        return frames
