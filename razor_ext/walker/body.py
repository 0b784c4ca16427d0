from __future__ import annotations

from dataclasses import dataclass

from .rng import keyed_rng

# name: (population mean, spread between subjects, spread between the walks of one subject).
# Lengths are fractions of stature. `_w` and `_d` are half widths and half depths of the trunk
# and the head, `r_` are radii of the limbs.
SHAPE = {
    'thigh': (.245, .011, 0), 'shank': (.246, .011, 0), 'foot': (.152, .007, 0),
    'torso': (.288, .012, 0), 'neck': (.052, .007, 0), 'head_h': (.072, .0045, 0),
    'head_w': (.047, .0035, 0), 'head_d': (.058, .004, 0), 'hair': (.006, .007, .001),
    'upper_arm': (.172, .008, 0), 'fore_arm': (.150, .008, 0), 'hand': (.050, .004, 0),
    'hip_w': (.098, .009, 0), 'shoulder_w': (.212, .015, 0), 'chest_w': (.094, .010, .0015),
    'chest_d': (.066, .009, .0015), 'waist_w': (.078, .011, .002), 'waist_d': (.058, .011, .002),
    'pelvis_w': (.092, .009, .0015), 'pelvis_d': (.066, .009, .0015),
    'r_thigh': (.046, .006, .001), 'r_knee': (.031, .0035, .0007), 'r_calf': (.030, .004, .0007),
    'r_ankle': (.019, .002, .0005), 'r_arm': (.025, .0035, .0007), 'r_elbow': (.019, .0025, .0005),
    'r_wrist': (.014, .002, .0003), 'r_foot': (.017, .002, .0003)}

# The same for the gait: angles in degrees, `cycle` in frames per stride at 25 frames a second,
# `_t` and `_w` (timing and width of the knee's swing) in strides, `sway`, `step_w` in statures.
GAIT = {
    'cycle': (26., 2.2, .8), 'hip_amp': (22., 3.2, 1.), 'hip_off': (8., 2.5, .7),
    'knee_swing': (54., 6., 1.8), 'knee_stance': (14., 4., 1.2), 'knee_off': (4., 2.5, .8),
    'knee_t': (.72, .015, .005), 'knee_w': (.105, .010, .003), 'ankle_push': (18., 4., 1.2),
    'ankle_off': (0., 2., .6), 'toe_out': (7., 4., 1.), 'step_w': (0., .012, .003),
    'arm_amp': (22., 8., 2.5), 'arm_off': (-9., 5., 1.5), 'arm_lag': (0., .03, .01),
    'arm_abd': (8., 3., 1.), 'elbow_off': (13., 7., 2.), 'elbow_amp': (14., 6., 2.),
    'lean': (3., 3., 1.), 'head_pitch': (2., 5., 1.8), 'pelvis_yaw': (7., 2.5, .7),
    'shoulder_yaw': (6., 2.5, .8), 'pelvis_drop': (4., 1.5, .5), 'sway': (.016, .006, .002),
    'asym': (0., .05, .012), 'slump': (0., .012, .003)}

_GIRTHS = frozenset(k for k in SHAPE if k.startswith(('r_', 'chest_', 'waist_', 'pelvis_')))


@dataclass(frozen=True)
class Coat:
    """A coat; lengths in statures, `length` in thighs, `stiff` scales the swing of the arms."""
    thick: float
    length: float
    flare: float
    collar: float
    hood: float
    stiff: float


@dataclass(frozen=True)
class Bag:
    """A bag: `kind` is backpack, shoulder or hand; `side` is 1 for the left, -1 for the right."""
    kind: str
    side: int
    size: float
    drop: float


@dataclass(frozen=True)
class Subject:
    """One person: the values of SHAPE and GAIT, and what this person wears and carries."""
    params: dict
    coat: Coat
    bag: Bag


def sample_subject(seed: object, subject: str, spread: float = 1.) -> Subject:
    """Draw a person.

    Girths share one lean-to-stout factor; coat and bag are drawn independently of the body, so
    that they hide it rather than tell it.

    Args:
        seed: Seed of the population.
        subject: Name of the person within the population.
        spread: Scale of the differences between people.

    Returns:
        Subject: The same for the same arguments, everywhere.
    """
    rng = keyed_rng('subject', seed, subject)
    girth = rng.normal()
    table = {**SHAPE, **GAIT}
    params = {}
    for z, (name, (mean, between, _)) in zip(
            rng.normal(size=len(table)).clip(-2.2, 2.2).tolist(), table.items()):
        if name in _GIRTHS:
            z = .75 * girth + .66 * z
        params[name] = mean + spread * between * z
    coat = Coat(thick=rng.uniform(.012, .034), length=rng.uniform(.25, 1.1),
                flare=rng.uniform(0, .045), collar=rng.uniform(0, .035),
                hood=rng.uniform(0, .016), stiff=rng.uniform(.4, .9))
    bag = Bag(kind=('backpack', 'shoulder', 'hand')[rng.integers(3)],
              side=int(rng.choice((-1, 1))), size=rng.uniform(.8, 1.25),
              drop=rng.uniform(-.02, .05))
    return Subject(params, coat, bag)


def limb_capsules(params: dict, padding: float = 0.,
                  collar: float = 0.) -> list[tuple[str, str, float, float]]:
    """The limbs and the neck as tapered capsules.

    Args:
        params: Values of SHAPE.
        padding: Thickness of a coat, in statures.
        collar: Height of its collar, in statures.

    Returns:
        list[tuple]: First joint, second joint, radius at the first, radius at the second.
    """
    p, out = params, []
    for side in 'LR':
        out += [
            (f'hip{side}', f'knee{side}', p['r_thigh'] + .5 * padding, p['r_knee']),
            (f'knee{side}', f'ankle{side}', p['r_calf'] * 1.06, p['r_ankle']),
            (f'heel{side}', f'toe{side}', p['r_foot'] * 1.1, p['r_foot'] * .8),
            (f'ankle{side}', f'heel{side}', p['r_ankle'], p['r_foot']),
            (f'shoulder{side}', f'elbow{side}', p['r_arm'] + .8 * padding,
             p['r_elbow'] + .8 * padding),
            (f'elbow{side}', f'wrist{side}', p['r_elbow'] + .7 * padding,
             p['r_wrist'] + .6 * padding),
            (f'wrist{side}', f'hand{side}', p['r_wrist'], p['r_wrist'] * .9)]
    out.append(('sternum', 'neck', .030 + collar, .026))
    return out
