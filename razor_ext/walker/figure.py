from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .gait_cycle import SIDES
from .outfit import Outfit
from .raycast import Solids
from .skeleton import FORWARD, LEFT, UP, Skeleton

PARTS = ('none', 'face', 'hair', 'neck', 'chest', 'pelvis', 'bag', *(
    part + side for side in 'LR'
    for part in ('upper_arm', 'forearm', 'hand', 'thigh', 'shin', 'foot')))


@dataclass(frozen=True)
class Surface:
    """What one piece of a figure is: the body part, the garment that covers it, and its own axes.

    `origin` ``[3]``, `axis` (along the bone) and `side` (across it) are in camera space.
    """
    part: str
    garment: str
    origin: np.ndarray
    axis: np.ndarray
    side: np.ndarray


class Figure:
    """A dressed body as solids in camera space.

    Args:
        params: Values of SHAPE.
        skeleton: The posture, in camera space (pixels).
        outfit: What is worn.
        scale: Pixels per stature.

    Attributes:
        solids: What to draw.
        surfaces: What the numbers in :attr:`DepthCanvas.surface` mean, the first one being nothing.
    """

    def __init__(self, params: dict, skeleton: Skeleton, outfit: Outfit, scale: float) -> None:
        self.params, self.skeleton, self.outfit, self.scale = params, skeleton, outfit, scale
        self.solids = Solids()
        zero = np.zeros(3)
        self.surfaces = [Surface('none', 'skin', zero, zero, zero)]
        self._trunk()
        self._head()
        for sign, side in SIDES:
            self._arm(sign, side)
            self._leg(side)
            self._foot(sign, side)
        self._skirt()
        if outfit.backpack:
            self._backpack()

    def at(self, joint: str, frame: str | None = None, x: float = 0., y: float = 0.,
           z: float = 0.) -> np.ndarray:
        """A joint, moved by (x, y, z) statures along the axes of a frame."""
        place = self.skeleton.joints[joint]
        if frame is not None:
            place = place + self.scale * self.skeleton.frames[frame] @ np.array([x, y, z])
        return place

    def _surface(self, part: str, garment: str, a: np.ndarray, b: np.ndarray,
                 side: np.ndarray) -> int:
        axis = b - a
        self.surfaces.append(Surface(part, garment, a, axis / (np.linalg.norm(axis) + 1e-9), side))
        return len(self.surfaces) - 1

    def _cone(self, surface: int, a: np.ndarray, b: np.ndarray, ra: float, rb: float,
              axis: np.ndarray | None = None, ratio: float = 1., caps: str = 'ab') -> None:
        self.solids.cone(surface, a, b, self.scale * ra, self.scale * rb, axis, ratio, caps)

    def _ball(self, surface: int, centre: np.ndarray, radius: float,
              axis: np.ndarray | None = None, ratio: float = 1.) -> None:
        self.solids.ball(surface, centre, self.scale * radius, axis, ratio)

    def _trunk(self) -> None:
        p, o, frames = self.params, self.outfit, self.skeleton.frames
        hips, ribs = frames['pelvis'], frames['chest']
        pad = o.padding
        low = self._surface('pelvis', 'bottom', self.at('pelvis'), self.at('waist'), hips @ LEFT)
        mid = self._surface('chest', 'top', self.at('pelvis'), self.at('sternum'), ribs @ LEFT)
        neck = self._surface('neck', 'skin', self.at('sternum'), self.at('neck'), ribs @ LEFT)
        front = hips @ FORWARD
        self._cone(low, self.at('pelvis', 'pelvis', z=-.02), self.at('pelvis', 'pelvis', z=.05),
                   .9 * p['pelvis_w'], p['pelvis_w'], front, p['pelvis_w'] / p['pelvis_d'])
        for _, side in SIDES:
            y = .035 if side == 'L' else -.035
            self._ball(low, self.at('pelvis', 'pelvis', x=-.028, y=y, z=-.012), .05)
        self._cone(mid, self.at('pelvis', 'pelvis', z=.055), self.at('waist'), p['pelvis_w'] + pad,
                   p['waist_w'] + pad, front, p['waist_w'] / p['waist_d'], caps='b')
        front = ribs @ FORWARD
        self._cone(mid, self.at('waist'), self.at('chest'), p['waist_w'] + pad, p['chest_w'] + pad,
                   front, p['chest_w'] / p['chest_d'], caps='b')
        self._cone(mid, self.at('chest'), self.at('sternum', 'chest', z=-.045), p['chest_w'] + pad,
                   .86 * p['chest_w'] + pad, front, p['chest_w'] / p['chest_d'], caps='b')
        for sign, side in SIDES:
            self._cone(mid, self.at('sternum', 'chest', z=-.012), self.at(f'shoulder{side}'),
                       .040 + pad, p['r_arm'] + .008 + pad, caps='b')
            if o.bust:
                self._ball(mid, self.at('chest', 'chest', x=p['chest_d'] - .012, y=sign * .042,
                                        z=-.005), o.bust + pad)
        self._cone(neck, self.at('sternum', 'chest', z=-.01), self.at('neck', 'head', z=.015),
                   .034, .030, caps='')

    def _head(self) -> None:
        p, o, frame = self.params, self.outfit, self.skeleton.frames['head']
        front, h = frame @ FORWARD, p['head_h']
        base, top = self.at('neck'), self.at('head')
        face = self._surface('face', 'skin', top, top + frame @ UP, frame @ LEFT)
        hair = self._surface('hair', 'hair', top, top + frame @ UP, frame @ LEFT)
        width, depth = p['head_w'], p['head_d']
        self._cone(face, self.at('head', 'head', x=.010, z=-.45 * h),
                   self.at('head', 'head', z=h - 1.08 * width), .74 * width, 1.08 * width, front,
                   width / depth)
        self._cone(face, self.at('head', 'head', x=.92 * depth, z=-.02 * h),
                   self.at('head', 'head', x=1.12 * depth, z=-.26 * h), .006, .011, caps='b')
        for sign, _ in SIDES:
            self._ball(face, self.at('head', 'head', x=-.006, y=sign * 1.02 * width, z=-.1 * h),
                       .016, frame @ LEFT, 2.)
        if o.hair != 'bald':
            size = 1.08 * width + .3 * max(p['hair'], 0.) + .004
            self._ball(hair, self.at('head', 'head', x=-.014, z=.34 * h), size, front,
                       width / depth)
            self._ball(hair, self.at('head', 'head', x=-.022, z=0.), .98 * size, front,
                       width / depth)
        if o.hair == 'long':
            self._cone(hair, self.at('head', 'head', x=-.028), self.at(
                'sternum', 'chest', x=-.055, z=-.02), 1.02 * width, .9 * width, front, 1.6)
        elif o.hair == 'tail':
            self._cone(hair, self.at('head', 'head', x=-1.1 * depth, z=.3 * h),
                       self.at('neck', 'head', x=-.075, z=-.02), .022, .012, caps='b')
        elif o.hair == 'bun':
            self._ball(hair, self.at('head', 'head', x=-1.15 * depth, z=.55 * h), .027)
        if o.hat:
            hat = self._surface('hair', 'hat', base, top, frame @ LEFT)
            self._ball(hat, self.at('head', 'head', z=.42 * h), 1.2 * width, front, width / depth)
            self._cone(hat, self.at('head', 'head', x=.7 * depth, z=.46 * h),
                       self.at('head', 'head', x=1.5 * depth, z=.42 * h), .036, .030,
                       frame @ UP, 5.)

    def _arm(self, sign: int, side: str) -> None:
        p, o = self.params, self.outfit
        s, e, w = (self.at(f'{j}{side}') for j in ('shoulder', 'elbow', 'wrist'))
        lateral = self.skeleton.frames[f'hand{side}'] @ LEFT
        self._sleeved(('upper_arm' + side, 'forearm' + side), 'top', o.sleeve, (s, e, w),
                      (p['r_arm'], p['r_elbow'], p['r_wrist']), lateral, o.padding + .003)
        hand = self._surface('hand' + side, 'skin', w, self.at(f'hand{side}'), lateral)
        frame = self.skeleton.frames[f'hand{side}']
        self._cone(hand, w, self.at(f'hand{side}'), p['r_wrist'], .019, frame @ LEFT, 1.9,
                   caps='b')
        self._cone(hand, self.at(f'wrist{side}', f'hand{side}', x=.008, z=-.012), self.at(
            f'wrist{side}', f'hand{side}', x=.030, y=-sign * .006, z=-.036), .009, .007, caps='b')

    def _leg(self, side: str) -> None:
        p, o = self.params, self.outfit
        h, k, a = (self.at(f'{j}{side}') for j in ('hip', 'knee', 'ankle'))
        lateral = self.skeleton.frames['pelvis'] @ LEFT
        leg = 0. if o.skirt else o.leg
        self._sleeved(('thigh' + side, 'shin' + side), 'bottom', leg, (h, k, a),
                      (1.12 * p['r_thigh'], 1.08 * p['r_knee'], p['r_ankle']), lateral, .006)
        calf = self._surface('shin' + side, 'bottom' if leg > 1.5 else 'skin', k, a, lateral)
        back = self.skeleton.frames[f'foot{side}'] @ FORWARD
        self._ball(calf, k + .3 * (a - k) - .006 * self.scale * back, 1.06 * p['r_calf'])

    def _sleeved(self, parts: tuple, garment: str, cover: float, chain: tuple, radii: tuple,
                 lateral: np.ndarray, pad: float) -> None:
        """Two bones of a limb, bare, and the sleeve over the first `cover` of them."""
        for i, part in enumerate(parts):
            a, b, ra, rb = chain[i], chain[i + 1], radii[i], radii[i + 1]
            share = float(np.clip(cover - i, 0., 1.))
            hem, width = a + share * (b - a), ra + share * (rb - ra)
            root = 'a' if i == 0 else ''
            if share < 1:
                self._cone(self._surface(part, 'skin', a, b, lateral), hem, b, width, rb,
                           caps='b' if share else root + 'b')
            if share > 0:
                self._cone(self._surface(part, garment, a, b, lateral), a, hem, ra + pad,
                           width + pad, caps=root + 'b' if share == 1 else root)

    def _foot(self, sign: int, side: str) -> None:
        p, frame = self.params, self.skeleton.frames[f'foot{side}']
        heel, toe = self.at(f'heel{side}'), self.at(f'toe{side}')
        shoe = self._surface('foot' + side, 'shoes', heel, toe, frame @ LEFT)
        self._cone(shoe, heel, toe, 1.35 * p['r_foot'], 1.5 * p['r_foot'], frame @ UP, 1.5)
        instep = self.at(f'ankle{side}', f'foot{side}', x=.03, z=-.014)
        self._cone(shoe, self.at(f'ankle{side}'), instep, p['r_ankle'] + .003, .014, caps='')

    def _skirt(self) -> None:
        p, o = self.params, self.outfit
        garment, length = ('top', o.tail) if o.tail else ('bottom', o.leg)
        if not (o.tail or o.skirt):
            return
        lateral = self.skeleton.frames['pelvis'] @ LEFT
        hem = {}
        for _, side in SIDES:
            h, k, a = (self.at(f'{j}{side}') for j in ('hip', 'knee', 'ankle'))
            hem[side] = h + min(length, 1.) * (k - h) + max(length - 1., 0.) * (a - k)
            panel = self._surface('thigh' + side, garment, h, k, lateral)
            self._cone(panel, h, h + min(length, 1.) * (k - h), p['r_thigh'] + .022,
                       p['r_knee'] + .028, caps='a')
        middle = .5 * (hem['L'] + hem['R'])
        spread = float(np.linalg.norm(hem['L'] - hem['R'])) / self.scale
        drape = self._surface('pelvis', garment, self.at('pelvis'), middle, lateral)
        self._cone(drape, self.at('pelvis', 'pelvis', z=.03), middle, p['pelvis_w'] + .012,
                   min(.5 * spread + .035, .17), self.skeleton.frames['pelvis'] @ FORWARD, 1.35, '')

    def _backpack(self) -> None:
        p, frame = self.params, self.skeleton.frames['chest']
        bag = self._surface('bag', 'bag', self.at('waist'), self.at('chest'), frame @ LEFT)
        x = -(p['chest_d'] + .035)
        self._cone(bag, self.at('chest', 'chest', x=x, z=.02), self.at('chest', 'chest', x=x,
                                                                      z=-.10), .075, .085,
                   frame @ FORWARD, 1.7)
