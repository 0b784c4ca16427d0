from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .gait_cycle import SIDES, Walk, walk_joints

UP, FORWARD, LEFT = np.array([0., 0., 1.]), np.array([1., 0., 0.]), np.array([0., 1., 0.])


@dataclass(frozen=True)
class Skeleton:
    """One posture of a body.

    Attributes:
        joints: Joint name to position ``[3]`` in statures (x forward, y left, z up).
        frames: Bone name to a rotation ``[3, 3]`` whose columns are the bone's own forward, left
            and up: pelvis, chest, head, and per side hand (up points to the elbow) and foot.
    """
    joints: dict
    frames: dict

    def transformed(self, rotation: np.ndarray, scale: float = 1.) -> Skeleton:
        """The skeleton in other axes, about its own middle."""
        middle = .5 * (self.joints['pelvis'] + self.joints['waist'])
        return Skeleton({k: scale * rotation @ (v - middle) for k, v in self.joints.items()},
                        {k: rotation @ v for k, v in self.frames.items()})


def rotation(axis: str, degrees: float) -> np.ndarray:
    """Right-handed rotation ``[3, 3]`` about x, y or z."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if axis == 'x':
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    if axis == 'y':
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def pose_skeleton(params: dict, angles: dict) -> Skeleton:
    """Forward kinematics of a posture.

    Args:
        params: Values of SHAPE.
        angles: Degrees. Trunk: ``pitch``, ``bend`` (forward), ``side`` (to the right), ``twist``
            (to the left), ``nod``, ``tilt``, ``turn`` of the head. Per side (suffix L or R), all
            0 when standing at attention: ``arm_flex``, ``arm_abduct``, ``arm_twist``, ``elbow``,
            ``wrist``, ``hip_flex``, ``hip_abduct``, ``hip_twist``, ``knee``, ``ankle``.

    Returns:
        Skeleton: With the middle of the pelvis at the origin.
    """
    p, a = params, angles
    pelvis = rotation('y', a['pitch'])
    half = rotation('y', a['bend'] / 2) @ rotation('x', a['side'] / 2) @ rotation(
        'z', a['twist'] / 2)
    middle, chest = pelvis @ half, pelvis @ half @ half
    head = chest @ rotation('z', a['turn']) @ rotation('y', a['nod']) @ rotation('x', a['tilt'])
    joints = {'pelvis': np.zeros(3)}
    joints['waist'] = .42 * p['torso'] * pelvis @ UP
    joints['chest'] = joints['waist'] + .36 * p['torso'] * middle @ UP
    joints['sternum'] = joints['chest'] + .22 * p['torso'] * chest @ UP
    joints['neck'] = joints['sternum'] + p['neck'] * (.5 * chest + .5 * head) @ UP
    joints['head'] = joints['neck'] + p['head_h'] * head @ UP
    frames = {'pelvis': pelvis, 'chest': chest, 'head': head}
    for sign, side in SIDES:
        def of(name: str, side: str = side) -> float:
            return a[name + side]

        # Shoulders rise with the arm.
        shrug = .03 * max(of('arm_abduct') - 60, of('arm_flex') - 80, 0.) / 100
        shoulder = joints['sternum'] + chest @ np.array([0., sign * p['shoulder_w'] / 2,
                                                         shrug - .018])
        upper = (chest @ rotation('y', -of('arm_flex')) @ rotation('x', sign * of('arm_abduct'))
                 @ rotation('z', -sign * of('arm_twist')))
        fore = upper @ rotation('y', -of('elbow'))
        hand = fore @ rotation('x', sign * of('wrist'))
        elbow = shoulder - p['upper_arm'] * upper @ UP
        wrist = elbow - p['fore_arm'] * fore @ UP
        hip = pelvis @ np.array([0., sign * p['hip_w'] / 2, 0.])
        thigh = (pelvis @ rotation('y', -of('hip_flex')) @ rotation('x', sign * of('hip_abduct'))
                 @ rotation('z', sign * of('hip_twist')))
        shank = thigh @ rotation('y', of('knee'))
        foot = shank @ rotation('y', -of('ankle')) @ rotation('z', sign * p['toe_out'])
        knee = hip - p['thigh'] * thigh @ UP
        ankle = knee - p['shank'] * shank @ UP
        joints.update({
            f'shoulder{side}': shoulder, f'elbow{side}': elbow, f'wrist{side}': wrist,
            f'hand{side}': wrist - p['hand'] * hand @ UP,
            f'hip{side}': hip, f'knee{side}': knee, f'ankle{side}': ankle,
            f'heel{side}': ankle + foot @ np.array([-.17 * p['foot'], 0., -.020]),
            f'toe{side}': ankle + foot @ np.array([.74 * p['foot'], 0., -.026])})
        frames[f'hand{side}'], frames[f'foot{side}'] = hand, foot
    return Skeleton(joints, frames)


def walking_skeleton(walk: Walk, phase: float) -> Skeleton:
    """The posture of a walker in one phase of the stride."""
    found = walk_joints(walk, np.array([phase]))
    joints = {k: v[0] for k, v in found.items() if v.ndim == 2}
    lean = walk.params['lean']
    frames = {
        'pelvis': rotation('z', math.degrees(found['pelvis_yaw'][0])) @ rotation('y', lean),
        'chest': rotation('z', math.degrees(found['shoulder_yaw'][0])) @ rotation('y', lean),
        'head': rotation('y', lean + walk.params['head_pitch'])}
    for _, side in SIDES:
        frames[f'hand{side}'] = _frame(joints[f'elbow{side}'] - joints[f'hand{side}'], FORWARD)
        sole = joints[f'toe{side}'] - joints[f'heel{side}']
        level = _frame(joints[f'knee{side}'] - joints[f'ankle{side}'], sole)
        frames[f'foot{side}'] = _frame(np.cross(sole, level[:, 1]), sole)
    return Skeleton(joints, frames)


def _frame(up: np.ndarray, forward: np.ndarray) -> np.ndarray:
    up = up / np.linalg.norm(up)
    left = np.cross(up, forward)
    left /= np.linalg.norm(left)
    return np.stack([np.cross(left, up), left, up], 1)
