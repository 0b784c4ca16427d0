from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .body import GAIT, SHAPE, Bag, Coat, Subject
from .rng import keyed_rng

_RAD = math.pi / 180
SIDES = ((1, 'L'), (-1, 'R'))


@dataclass(frozen=True)
class Walk:
    """One walk of one subject: what all the cameras along it see."""
    params: dict
    phase: float
    coat: Coat | None = None
    bag: Bag | None = None
    arm_scale: dict = field(default_factory=dict)


def sample_walk(subject: Subject, seed: int, name: str, condition: str,
                wobble: float = 1.) -> Walk:
    """Draw a walk: the subject with small deviations, plain (nm), with a bag (bg), in a coat (cl).

    Args:
        subject: Who walks.
        seed: Seed of the population.
        name: Name of the subject.
        condition: Name of the walk, such as ``nm-01``; its first two letters say what is worn.
        wobble: Scale of the deviations from the subject's habit.

    Returns:
        Walk: The same for the same arguments, everywhere.
    """
    rng = keyed_rng('walk', seed, name, condition)
    p = dict(subject.params)
    within = {k: v[2] for k, v in {**SHAPE, **GAIT}.items() if v[2]}
    for z, (key, deviation) in zip(rng.normal(size=len(within)).tolist(), within.items()):
        p[key] += wobble * deviation * z
    phase, kind = rng.uniform(), condition[:2]
    coat, bag, arm_scale = None, None, {}
    if kind == 'cl':
        coat = subject.coat
        p['arm_amp'] *= coat.stiff
        p['arm_abd'] += 3
    elif kind == 'bg':
        bag = subject.bag
        if bag.kind == 'backpack':
            p['lean'] += 2.5
        else:
            arm_scale = {bag.side: .25 if bag.kind == 'hand' else .5}
    return Walk(p, phase, coat, bag, arm_scale)


def _bump(phase: np.ndarray, centre: float, width: float) -> np.ndarray:
    d = (phase - centre + .5) % 1. - .5
    return np.exp(-.5 * (d / width) ** 2)


def _vec(x, y, z) -> np.ndarray:
    return np.stack(np.broadcast_arrays(x, y, z), -1)


def _turn(yaw: np.ndarray, x: float, y: float, z) -> np.ndarray:
    return _vec(x * np.cos(yaw) - y * np.sin(yaw), x * np.sin(yaw) + y * np.cos(yaw), z)


def walk_joints(walk: Walk, phase: np.ndarray) -> dict[str, np.ndarray]:
    """Kinematics of walking: where the joints are in each phase of the stride.

    Axes: x forward, y to the walker's left, z up, in statures; the floor is z = 0. The lowest foot
    always stands on it, which is where the vertical bob of a walk comes from.

    Args:
        walk: Who walks, and how.
        phase: Phases of the stride ``[T]``, 0 at the strike of the left heel, 1 one stride later.

    Returns:
        dict[str, np.ndarray]: Joint name to positions ``[T, 3]``, and ``pelvis_yaw`` and
        ``shoulder_yaw`` ``[T]`` in radians.
    """
    p, tau = walk.params, 2 * np.pi
    pelvis_yaw = -p['pelvis_yaw'] * _RAD * np.cos(tau * phase)
    shoulder_yaw = p['shoulder_yaw'] * _RAD * np.cos(tau * (phase - p['arm_lag']))
    sway = p['sway'] * np.sin(tau * (phase - .05))
    joints = {'pelvis': _vec(0., sway, 0.)}
    for sign, side in SIDES:
        joints.update(_leg(p, phase, sign, side, joints['pelvis'], pelvis_yaw, sway))
    soles = np.stack([joints[j + s][:, 2] for j in ('heel', 'toe') for s in 'LR'])
    lift = _vec(0., 0., p['r_foot'] - soles.min(0))
    joints = {name: position + lift for name, position in joints.items()}

    lean, pelvis = p['lean'] * _RAD, joints['pelvis']
    up = np.array([math.sin(lean), 0., math.cos(lean)])
    joints['waist'] = pelvis + .42 * p['torso'] * up
    joints['chest'] = pelvis + .78 * p['torso'] * up
    joints['sternum'] = pelvis + p['torso'] * up - np.array([p['slump'], 0., 0.])
    nod = lean + p['head_pitch'] * _RAD
    head_up = np.array([math.sin(nod), 0., math.cos(nod)])
    joints['neck'] = joints['sternum'] + p['neck'] * head_up
    joints['head'] = joints['neck'] + p['head_h'] * head_up
    for sign, side in SIDES:
        joints.update(_arm(walk, phase, sign, side, joints['sternum'], shoulder_yaw))
    joints['pelvis_yaw'], joints['shoulder_yaw'] = pelvis_yaw, shoulder_yaw
    return joints


def _leg(p: dict, phase: np.ndarray, sign: int, side: str, pelvis: np.ndarray,
         yaw: np.ndarray, sway: np.ndarray) -> dict[str, np.ndarray]:
    tau = 2 * np.pi
    drop = p['pelvis_drop'] * _RAD * np.sin(tau * phase)
    ph = (phase + (0. if sign > 0 else .5)) % 1.
    gain = 1 + sign * p['asym']
    hip = _RAD * (p['hip_off'] + gain * (
        p['hip_amp'] * np.cos(tau * (ph + .02)) - 3 * np.cos(2 * tau * ph)))
    knee = _RAD * (p['knee_off'] + p['knee_stance'] * _bump(ph, .14, .055)
                   + gain * p['knee_swing'] * _bump(ph, p['knee_t'], p['knee_w']))
    ankle = _RAD * (p['ankle_off'] + 9 * _bump(ph, .42, .13)
                    - p['ankle_push'] * _bump(ph, .62, .055) - 5 * _bump(ph, .06, .04))
    hip_at = pelvis + _turn(yaw, 0., sign * p['hip_w'] / 2, -.04 * sign * np.sin(drop))
    # The legs converge under a swaying pelvis.
    splay = (sign * p['step_w'] - .35 * sway) / (p['thigh'] + p['shank'])
    knee_at = hip_at + p['thigh'] * _vec(np.sin(hip), splay, -np.cos(hip))
    shin = hip - knee
    ankle_at = knee_at + p['shank'] * _vec(np.sin(shin), splay, -np.cos(shin))
    pitch, out = shin + ankle, sign * p['toe_out'] * _RAD
    along = _vec(np.cos(pitch) * math.cos(out), np.cos(pitch) * math.sin(out), np.sin(pitch))
    down = _vec(np.sin(pitch), 0., -np.cos(pitch))
    return {f'hip{side}': hip_at, f'knee{side}': knee_at, f'ankle{side}': ankle_at,
            f'heel{side}': ankle_at - .17 * p['foot'] * along + .020 * down,
            f'toe{side}': ankle_at + .74 * p['foot'] * along + .026 * down}


def _arm(walk: Walk, phase: np.ndarray, sign: int, side: str, sternum: np.ndarray,
         yaw: np.ndarray) -> dict[str, np.ndarray]:
    p = walk.params
    swing = np.cos(2 * np.pi * (phase + (.5 if sign > 0 else 0.) - p['arm_lag']))
    scale = walk.arm_scale.get(sign, 1.) * (1 - sign * p['asym'])
    upper = _RAD * (p['arm_off'] + scale * p['arm_amp'] * swing)
    fore = upper + _RAD * (p['elbow_off'] + .5 * scale * p['elbow_amp'] * (1 + swing))
    abduction = sign * math.sin(p['arm_abd'] * _RAD)
    shoulder = sternum + _turn(yaw, 0., sign * p['shoulder_w'] / 2, -.018)
    elbow = shoulder + p['upper_arm'] * _vec(np.sin(upper), abduction, -np.cos(upper))
    along = _vec(np.sin(fore), .3 * abduction, -np.cos(fore))
    wrist = elbow + p['fore_arm'] * along
    return {f'shoulder{side}': shoulder, f'elbow{side}': elbow, f'wrist{side}': wrist,
            f'hand{side}': wrist + p['hand'] * along}
