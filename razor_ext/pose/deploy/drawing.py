"""Pictures of poses, drawn alike whichever model has predicted them."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

#: A picture's longer side has at least so many pixels: lines are as wide on small images.
_LEAST_SIDE = 640
_BOX, _TEXT, _BAND = (0, 200, 0), (255, 255, 255), (40, 40, 40)
_BAND_HEIGHT = 28


def draw_people(image: np.ndarray, boxes: np.ndarray, keypoints: np.ndarray, scores: np.ndarray,
                meta: Mapping[str, Any], threshold: float, title: str) -> np.ndarray:
    """Draw people's boxes, limbs and keypoints.

    Args:
        image: BGR, uint8 [height, width, 3].
        boxes: corners [n, 4].
        keypoints: [n, k, 2] in pixels.
        scores: [n, k].
        meta: MMPose's `skeleton_links`, `skeleton_link_colors`, `keypoint_colors`.
        threshold: keypoints of a smaller score are left out.
        title: what has predicted them.

    Returns:
        The picture, larger where the image is small, with a line below that says how many keypoints
        are drawn.
    """
    zoom = max(1, -(-_LEAST_SIDE // max(image.shape[:2])))
    picture = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    width = max(2, round(max(picture.shape[:2]) / 250))
    shown = scores >= threshold

    def place(point: np.ndarray) -> tuple[int, int]:
        # The middle of a pixel stays its middle.
        x, y = np.round((point + .5) * zoom - .5).astype(int).tolist()
        return x, y

    for box, person, visible in zip(boxes, keypoints, shown):
        cv2.rectangle(picture, place(box[:2]), place(box[2:]), _BOX, max(1, width // 2))
        for (first, second), colour in zip(meta['skeleton_links'], meta['skeleton_link_colors']):
            if visible[first] and visible[second]:
                cv2.line(picture, place(person[first]), place(person[second]), _bgr(colour), width,
                         cv2.LINE_AA)
        for point, colour in zip(person[visible], np.asarray(meta['keypoint_colors'])[visible]):
            cv2.circle(picture, place(point), width + 1, _bgr(colour), -1, cv2.LINE_AA)
    return np.concatenate([picture, _caption(
        f'{title}: {shown.sum()} of {shown.size} keypoints score {threshold:g} or more',
        picture.shape[1])])


def _bgr(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return blue, green, red


def _caption(text: str, width: int) -> np.ndarray:
    band = np.full((_BAND_HEIGHT, width, 3), _BAND, np.uint8)
    length = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1., 1)[0][0]
    cv2.putText(band, text, (6, _BAND_HEIGHT - 9), cv2.FONT_HERSHEY_SIMPLEX,
                min(.55, (width - 12) / length), _TEXT, 1, cv2.LINE_AA)
    return band
