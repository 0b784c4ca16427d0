from __future__ import annotations

import numpy as np

from .body import SHAPE, sample_subject
from .gait_cycle import sample_walk
from .skeleton import Skeleton, pose_skeleton, walking_skeleton

# Low and high end of every angle in degrees, per kind of posture; draws favour the middle.
TRUNKS = {
    'upright': {'pitch': (-5, 8), 'bend': (-8, 18), 'side': (-10, 10), 'twist': (-18, 18)},
    'bent': {'pitch': (0, 40), 'bend': (20, 80), 'side': (-15, 15), 'twist': (-25, 25)},
    'twisted': {'pitch': (-10, 15), 'bend': (-20, 30), 'side': (-30, 30), 'twist': (-45, 45)}}
HEAD = {'nod': (-20, 35), 'tilt': (-18, 18), 'turn': (-55, 55)}
ARMS = {
    'rest': {'arm_flex': (-20, 25), 'arm_abduct': (4, 20), 'arm_twist': (-10, 40),
             'elbow': (3, 40), 'wrist': (-10, 20)},
    'raised': {'arm_flex': (110, 180), 'arm_abduct': (-10, 45), 'arm_twist': (-40, 40),
               'elbow': (0, 90), 'wrist': (-20, 20)},
    'sideways': {'arm_flex': (-20, 30), 'arm_abduct': (55, 110), 'arm_twist': (-60, 60),
                 'elbow': (0, 100), 'wrist': (-20, 20)},
    'forward': {'arm_flex': (45, 110), 'arm_abduct': (-15, 35), 'arm_twist': (-20, 60),
                'elbow': (0, 110), 'wrist': (-20, 20)},
    'on hip': {'arm_flex': (-40, -10), 'arm_abduct': (35, 60), 'arm_twist': (50, 90),
               'elbow': (80, 115), 'wrist': (-10, 10)},
    'to face': {'arm_flex': (30, 75), 'arm_abduct': (0, 35), 'arm_twist': (0, 50),
                'elbow': (115, 145), 'wrist': (-20, 20)},
    'any': {'arm_flex': (-45, 175), 'arm_abduct': (-5, 120), 'arm_twist': (-80, 80),
            'elbow': (0, 140), 'wrist': (-30, 30)}}
LEGS = {
    'standing': {'hip_flex': (-8, 10), 'hip_abduct': (0, 12), 'hip_twist': (-5, 18),
                 'knee': (0, 14), 'ankle': (-5, 10)},
    'striding': {'hip_flex': (-30, 45), 'hip_abduct': (-3, 14), 'hip_twist': (-5, 15),
                 'knee': (2, 65), 'ankle': (-25, 15)},
    'seated': {'hip_flex': (70, 100), 'hip_abduct': (0, 28), 'hip_twist': (-10, 15),
               'knee': (50, 110), 'ankle': (-15, 15)},
    'squatting': {'hip_flex': (85, 125), 'hip_abduct': (5, 35), 'hip_twist': (0, 25),
                  'knee': (95, 140), 'ankle': (5, 25)},
    'kneeling': {'hip_flex': (-10, 20), 'hip_abduct': (0, 15), 'hip_twist': (-5, 10),
                 'knee': (80, 125), 'ankle': (-40, -10)},
    'any': {'hip_flex': (-35, 115), 'hip_abduct': (-8, 55), 'hip_twist': (-20, 30),
            'knee': (0, 130), 'ankle': (-35, 20)}}

_TRUNK_ODDS = {'upright': .66, 'bent': .16, 'twisted': .18}
_ARM_ODDS = {'rest': .28, 'raised': .14, 'sideways': .12, 'forward': .16, 'on hip': .08,
             'to face': .08, 'any': .14}
_LEG_ODDS = {'standing': .36, 'striding': .24, 'seated': .13, 'squatting': .07, 'kneeling': .04,
             'any': .16}


def sample_posture(rng: np.random.Generator, variety: float) -> tuple[dict, Skeleton]:
    """Draw a body in a posture.

    Args:
        rng: Where the chances come from.
        variety: 0 draws walkers only, 1 mostly all else; what is between mixes the two.

    Returns:
        tuple: Values of SHAPE (and GAIT), and the skeleton.
    """
    seed = int(rng.integers(1 << 31))
    subject = sample_subject(seed, 'person', 1.3)
    if rng.random() > .85 * variety:
        walk = sample_walk(subject, seed, 'person', 'nm-01')
        brisk = rng.uniform(.6, 1.7)
        for key in ('hip_amp', 'knee_swing', 'arm_amp', 'elbow_amp', 'elbow_off'):
            walk.params[key] *= brisk
        return walk.params, walking_skeleton(walk, rng.random())
    params = {k: subject.params[k] for k in (*SHAPE, 'toe_out')}
    return params, pose_skeleton(params, sample_angles(rng))


def sample_angles(rng: np.random.Generator) -> dict[str, float]:
    """Draw the angles that :func:`pose_skeleton` takes."""
    angles = _draw(TRUNKS[_pick(rng, _TRUNK_ODDS)], rng)
    angles.update(_draw(HEAD, rng))
    legs = _pick(rng, _LEG_ODDS)
    arms = _pick(rng, _ARM_ODDS)
    for side in 'LR':
        arm = arms if side == 'L' or rng.random() < .4 else _pick(rng, _ARM_ODDS)
        angles.update(_draw({**ARMS[arm], **LEGS[legs]}, rng, side))
    if rng.random() < .5:
        angles = _mirrored(angles)
    return angles


def _draw(ranges: dict, rng: np.random.Generator, suffix: str = '') -> dict[str, float]:
    t = .25 * rng.random(len(ranges)) + .75 * rng.beta(1.4, 1.4, len(ranges))
    return {k + suffix: low + float(x) * (high - low)
            for x, (k, (low, high)) in zip(t, ranges.items())}


def _mirrored(angles: dict) -> dict:
    swap = {'L': 'R', 'R': 'L'}
    out = {k[:-1] + swap[k[-1]] if k[-1] in swap else k: v for k, v in angles.items()}
    return {**out, **{k: -angles[k] for k in ('side', 'twist', 'tilt', 'turn')}}


def _pick(rng: np.random.Generator, odds: dict) -> str:
    return list(odds)[int(np.searchsorted(np.cumsum(list(odds.values())), rng.random()))]
