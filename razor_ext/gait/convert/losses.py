"""`loss_cfg` as configs of our losses."""
from __future__ import annotations

from .section import Section, SettingError


def read_losses(top: Section) -> dict[str, dict]:
    """Configs of the losses by `log_prefix`, under which a model finds its own."""
    losses: dict[str, dict] = {}
    for entry in top.sections('loss_cfg'):
        prefix = entry.text('log_prefix')
        if prefix in losses:
            raise SettingError(f'loss_cfg: two losses have log_prefix {prefix!r}')
        weight = entry.number('loss_term_weight', 1.)
        if entry.number('loss_term_weights', weight) != weight:
            raise entry.fail('loss_term_weights', 'is not read by OpenGait: write loss_term_weight')
        kind = entry.choice('type', {'TripletLoss': _triplet, 'CrossEntropyLoss': _cross_entropy})
        losses[prefix] = {**kind(entry), 'loss_weight': weight}
        entry.done()
    return losses


def _triplet(entry: Section) -> dict:
    return {'type': 'PartTripletLoss', 'margin': entry.number('margin')}


def _cross_entropy(entry: Section) -> dict:
    smoothing = entry.number('eps', 0.1, most=1.)
    if not entry.flag('label_smooth', True):
        smoothing = 0.
    entry.ignore('log_accuracy', 'margin')  # accuracy is always logged; the default has a margin
    return {'type': 'PartCrossEntropyLoss', 'scale': entry.number('scale', 16.),
            'label_smoothing': smoothing}
