from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WalkwayCamera:
    """A camera beside a walkway: weak perspective, the walker's bearing changing frame by frame.

    Args:
        bearing: Angle ``[T]`` between the walking direction and the camera, in radians: 0 is seen
            from the front, pi / 2 from the side, pi from behind.
        elevation: Downward tilt in radians.
        distance: Distance to the walker in statures.
    """
    bearing: np.ndarray
    elevation: float
    distance: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Image coordinates ``[T, 2]`` (right, down; in statures) of points ``[T, 3]``."""
        cos, sin = np.cos(self.bearing), np.sin(self.bearing)
        depth = points[:, 0] * cos + points[:, 1] * sin
        scale = self.distance / (self.distance - depth)
        right = (points[:, 1] * cos - points[:, 0] * sin) * scale
        up = ((points[:, 2] - .5) * np.cos(self.elevation) - depth * np.sin(self.elevation)) * scale
        return np.stack([right, -up], -1)

    def half_extent(self, width: float, depth: float, yaw: np.ndarray) -> np.ndarray:
        """Half the apparent width ``[T]`` of an upright ellipse turned by `yaw`."""
        angle = self.bearing - yaw
        return np.hypot(depth * np.sin(angle), width * np.cos(angle))
