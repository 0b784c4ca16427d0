from __future__ import annotations

import math

import numpy as np

from .body import Bag, limb_capsules
from .camera import WalkwayCamera
from .gait_cycle import Walk

_HALF = np.linspace(0, np.pi, 7)
_ARC = np.stack([np.cos(_HALF), np.sin(_HALF)], -1)
_ROUND = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ROUND), np.sin(_ROUND)], -1)
_BOX = np.sign(_CIRCLE) * np.abs(_CIRCLE) ** .6


def capsule_outline(a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> np.ndarray:
    """Convex outline ``[n, 2]`` of a tapered capsule from `a` to `b` in the image plane."""
    d = b - a
    length = math.hypot(d[0], d[1])
    if length < 1e-6:
        return a + max(ra, rb) * _CIRCLE
    along = d / length
    across = np.array([-along[1], along[0]])
    return np.concatenate([b + rb * (_ARC[:, :1] * across + _ARC[:, 1:] * along),
                           a - ra * (_ARC[:, :1] * across + _ARC[:, 1:] * along)])


def _slab(c0: np.ndarray, h0: float, c1: np.ndarray, h1: float) -> np.ndarray:
    return np.array([c0 + (-h0, 0), c0 + (h0, 0), c1 + (h1, 0), c1 + (-h1, 0)])


class FigureOutline:
    """The walker as convex outlines in the image plane, frame by frame.

    Args:
        walk: Who walks, in what.
        joints: What :func:`walk_joints` returned.
        camera: Who looks.
    """

    def __init__(self, walk: Walk, joints: dict[str, np.ndarray], camera: WalkwayCamera) -> None:
        self.walk = walk
        worn = (walk.coat.thick, walk.coat.collar) if walk.coat else ()
        self.limbs = limb_capsules(walk.params, *worn)
        self.at = {k: camera.project(v) for k, v in joints.items() if v.ndim == 2}
        self._measure_trunk(joints, camera)
        if walk.bag:
            self._place_bag(walk.bag, joints, camera)

    def polygons(self, t: int) -> list[np.ndarray]:
        """Convex polygons ``[n, 2]`` (right, down; in statures) whose union is frame `t`."""
        at = {name: position[t] for name, position in self.at.items()}
        out = [capsule_outline(at[a], at[b], ra, rb) for a, b, ra, rb in self.limbs]
        pelvis, waist, chest, shoulder, head = (w[t] for w in self.widths)
        levels = [(at['pelvis'] + (0, .035), .92 * pelvis), (at['pelvis'], pelvis),
                  (at['waist'], waist), (at['chest'], chest), (at['sternum'], shoulder)]
        out += [_slab(*low, *high) for low, high in zip(levels[:-1], levels[1:])]
        coat, p = self.walk.coat, self.walk.params
        radius = .026 + (.5 * coat.thick if coat else 0.)
        out.append(capsule_outline(at['sternum'] + (.022 - shoulder, .012),
                                   at['sternum'] + (shoulder - .022, .012), radius, radius))
        out.append(at['head'] + _CIRCLE * (head, p['head_h'] + .4 * p['hair']))
        if coat:
            knees = .5 * (at['kneeL'] + at['kneeR'])
            stride = .5 * coat.length * abs(at['kneeL'][0] - at['kneeR'][0])
            hem = max(pelvis, stride + .04) + coat.flare * coat.length
            out.append(_slab(at['pelvis'], pelvis,
                             at['pelvis'] + coat.length * (knees - at['pelvis']), hem))
        bag = self.walk.bag
        if bag:
            width, height = self.bag_size
            out.append(self.bag_at[t] + _BOX * (width[t], height))
            if bag.kind == 'shoulder':
                out.append(capsule_outline(self.bag_at[t] - (0, height), at['sternum'], .006, .006))
        return out

    def _measure_trunk(self, joints: dict[str, np.ndarray], camera: WalkwayCamera) -> None:
        p, coat, half = self.walk.params, self.walk.coat, camera.half_extent
        low, high = joints['pelvis_yaw'], joints['shoulder_yaw']
        pelvis = half(p['pelvis_w'], p['pelvis_d'], low)
        waist = half(p['waist_w'], p['waist_d'], .5 * (low + high))
        chest = half(p['chest_w'], p['chest_d'], high)
        shoulder = half(p['shoulder_w'] / 2 - .005, p['chest_d'] * .75, high)
        head = half(p['head_w'] + .3 * p['hair'], p['head_d'] + p['hair'], np.zeros_like(low))
        if coat:
            thick = coat.thick
            pelvis, chest, shoulder = pelvis + 1.2 * thick, chest + thick, shoulder + .8 * thick
            waist = np.maximum(waist + 1.3 * thick, .5 * (pelvis + chest))
            head = head + coat.hood
        self.widths = pelvis, waist, chest, shoulder, head

    def _place_bag(self, bag: Bag, joints: dict[str, np.ndarray], camera: WalkwayCamera) -> None:
        p, z = self.walk.params, bag.size
        if bag.kind == 'backpack':
            centre = joints['chest'] + (-(p['chest_d'] + .045 * z), 0., -.03)
            width, depth, height = .075, .055, .115
        elif bag.kind == 'shoulder':
            centre = joints['pelvis'] + (0., bag.side * (p['pelvis_w'] + .03), .03 - bag.drop)
            width, depth, height = .035, .085, .068
        else:
            centre = joints['handL' if bag.side > 0 else 'handR'] + (0., 0., -.06 * z)
            width, depth, height = .03, .085, .06
        self.bag_at = camera.project(centre)
        turned = camera.half_extent(width * z, depth * z, np.zeros(len(centre)))
        self.bag_size = turned, height * z
