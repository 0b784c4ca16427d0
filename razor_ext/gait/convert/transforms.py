"""`transform` as steps of a pipeline."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .section import Section

#: What the pixels are divided by where the file says nothing.
_DIVISOR = 255.


@dataclass
class Steps:
    """The steps of a pipeline between the choice of frames and packing.

    Attributes:
        steps (list[dict]): Configs of transforms.
        scale (float | None): Factor of the pixel values; None is the rule of part labels.
        channels (int): Channels of a frame.
    """

    steps: list[dict] = field(default_factory=list)
    scale: float | None = 1 / _DIVISOR
    channels: int = 1


def read_transforms(owner: Section, channels: int = 1) -> Steps:
    """Translate the `transform` of a trainer or an evaluator.

    Args:
        owner (Section): `trainer_cfg` or `evaluator_cfg`.
        channels (int): Channels of a frame.

    Raises:
        SettingError: If there are several, for several inputs, or one has no counterpart.
    """
    entries = owner.sections('transform')
    if len(entries) != 1:
        raise owner.fail('transform', f'is for {len(entries)} inputs; the models here have one, of '
                                      'one or several channels')
    result = Steps(channels=channels)
    _add(entries[0], result)
    return result


def _add(entry: Section, result: Steps) -> None:
    entry.choice('type', _TRANSFORMS)(entry, result)
    entry.done()


def _compose(entry: Section, result: Steps) -> None:
    for inner in entry.sections('trf_cfg'):
        _add(inner, result)


def _base(entry: Section, result: Steps) -> None:
    result.scale = 1 / entry.number('divsor', _DIVISOR, least=1e-6)
    entry.ignore('img_w')  # OpenGait drops what a transform does not know


def _whole(entry: Section, result: Steps) -> None:
    _base(entry, result)
    if 'img_shape' in entry:
        raise entry.fail('img_shape', 'has no counterpart: silhouettes keep their shape')


def _cutting(entry: Section, result: Steps) -> None:
    _base(entry, result)
    cut = {'cut': entry.integer('cutting', least=0)} if 'cutting' in entry else {}
    result.steps.append({'type': 'CropSides', **cut})


def _parsing(entry: Section, result: Steps) -> None:
    _cutting(entry, result)
    if entry.number('divsor', _DIVISOR) != _DIVISOR:
        raise entry.fail('divsor', f'has no counterpart: only {_DIVISOR} has')
    result.scale = None


def _augment(kind: str, **arguments: str) -> Callable[[Section, Steps], None]:
    """An augmentation; ``arguments`` are our names of OpenGait's numbers."""
    def add(entry: Section, result: Steps) -> None:
        step = {'type': kind, 'style': 'opengait', 'prob': entry.number('prob', 0.5, most=1.)}
        step.update({ours: entry.number(theirs) for theirs, ours in arguments.items()
                     if theirs in entry})
        result.steps.append(step)
    return add


def _erasing(entry: Section, result: Steps) -> None:
    if result.channels != 1:
        raise entry.fail('type', f'has no counterpart for frames of {result.channels} channels: '
                                 'OpenGait takes the channels for rows')
    _augment('EraseSequence')(entry, result)
    least = entry.number('sl', 0.05, most=1.)
    result.steps[-1].update(area=[least, entry.number('sh', 0.2, least=least, most=1.)],
                            min_aspect=entry.number('r1', 0.3, least=1e-3, most=1.),
                            per_frame=entry.flag('per_frame', False))


_TRANSFORMS: dict[str, Callable[[Section, Steps], None]] = {
    'Compose': _compose,
    'BaseSilTransform': _whole,
    'BaseSilCuttingTransform': _cutting,
    'BaseParsingCuttingTransform': _parsing,
    'RandomPerspective': _augment('PerspectiveSequence'),
    'RandomHorizontalFlip': _augment('FlipSequence'),
    'RandomRotate': _augment('RotateSequence', degree='degrees'),
    'RandomErasing': _erasing,
}
