from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rng import hsv

PATTERNS = ('plain', 'stripes', 'bands', 'checks', 'print')
_SKIN = np.array([[216, 176, 141], [241, 205, 178], [184, 129, 92], [132, 84, 56], [82, 51, 36],
                  [227, 184, 155]], np.float32)
_HAIR = np.array([[28, 22, 20], [62, 42, 28], [112, 76, 44], [190, 152, 92], [142, 66, 36],
                  [165, 165, 165]], np.float32)


@dataclass(frozen=True)
class Cloth:
    """A fabric: two RGB colours, a pattern, and its period in statures."""
    colour: np.ndarray
    second: np.ndarray
    pattern: str = 'plain'
    period: float = .04


@dataclass(frozen=True)
class Outfit:
    """What a person looks like.

    Attributes:
        cloths: Garment to fabric: skin, hair, top, bottom, shoes, hat, bag, lips.
        sleeve: How much of the arm the top covers, 0 to 2 (1 is the elbow).
        leg: How much of the leg the bottom covers, 0 to 2 (1 is the knee).
        skirt: The bottom is a skirt down to `leg`.
        tail: How far a coat hangs down from the hips, in thighs; 0 is no coat.
        padding: Thickness of the top, in statures.
        hair: bald, short, long, tail or bun.
        hat, glasses, beard, backpack, open_front: What else there is to tell front from back.
        bust: Size of the breasts, in statures.
    """
    cloths: dict
    sleeve: float
    leg: float
    skirt: bool
    tail: float
    padding: float
    hair: str
    hat: bool
    glasses: bool
    beard: bool
    backpack: bool
    open_front: bool
    bust: float


def sample_outfit(rng: np.random.Generator) -> Outfit:
    """Draw skin, hair and clothes."""
    skin = _between(_SKIN, rng)
    coat = rng.random() < .16
    dress = not coat and rng.random() < .10
    top = _fabric(rng)
    bottom = top if dress else _fabric(rng, plain=.7)
    skirt = dress or rng.random() < .10
    sleeve = 2. if coat else float(rng.choice((0., .55, .75, 1.7, 2.), p=(.1, .3, .1, .1, .4)))
    leg = (rng.uniform(.35, 1.3) if skirt else
           float(rng.choice((2., 1.9, .45, .7, 1.1), p=(.5, .15, .1, .15, .1))))
    feminine = rng.random() < (.9 if skirt else .4)
    hair = (rng.choice(('short', 'long', 'tail', 'bun'), p=(.15, .5, .2, .15)) if feminine else
            rng.choice(('short', 'bald', 'long'), p=(.84, .1, .06)))
    cloths = {
        'skin': Cloth(skin, skin), 'hair': Cloth(*2 * (_between(_HAIR, rng),)), 'top': top,
        'bottom': bottom, 'shoes': _fabric(rng, plain=1.), 'hat': _fabric(rng, plain=.8),
        'bag': _fabric(rng, plain=.8), 'lips': Cloth(*2 * (skin * (.82, .55, .52),))}
    return Outfit(
        cloths, sleeve, leg, skirt, rng.uniform(.25, .9) if coat else 0.,
        rng.uniform(.008, .02) if coat else rng.uniform(.002, .009), str(hair),
        hat=rng.random() < .14, glasses=rng.random() < .2, beard=not feminine and rng.random() < .3,
        backpack=rng.random() < .1, open_front=rng.random() < .35,
        bust=rng.uniform(.022, .034) if feminine else 0.)


def _between(palette: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    a, b = palette[rng.integers(len(palette), size=2)]
    t = rng.random()
    return np.clip((t * a + (1 - t) * b) * rng.uniform(.88, 1.1), 0, 255).astype(np.float32)


def _fabric(rng: np.random.Generator, plain: float = .45) -> Cloth:
    first = hsv(rng.random(), rng.beta(1.2, 1.4), rng.uniform(.12, 1.))
    second = hsv(rng.random(), rng.beta(1.2, 1.4), rng.uniform(.1, 1.))
    pattern = 'plain' if rng.random() < plain else PATTERNS[rng.integers(1, len(PATTERNS))]
    return Cloth(first, second, pattern, rng.uniform(.02, .07))
