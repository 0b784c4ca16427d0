"""The schedule of a dense training, over another length."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from .request import Length, RequestError

#: Arguments of a learning rate scheduler that are times.
_TIMES = ('begin', 'end', 'T_max', 'step_size', 'total_iters')
#: Arguments of hooks that are epochs, by the hook's type.
_HOOK_EPOCHS: Mapping[str, tuple[str, ...]] = {
    'PipelineSwitchHook': ('switch_epoch', ), 'YOLOXModeSwitchHook': ('num_last_epochs', ),
    'RTMOModeSwitchHook': ('epoch_attributes', ), 'YOLOXPoseModeSwitchHook': ('num_last_epochs', ),
    'EMAHook': ('begin_epoch', )}


def scaled_schedule(cfg: Config, length: Length) -> dict[str, Any]:
    """Return what of a config changes where its training takes another length.

    Times of learning rate schedulers and hooks keep their share of the run.

    Args:
        cfg: of the dense model.
        length: the new one.

    Returns:
        `train_cfg`, and `param_scheduler` and `custom_hooks` where the config has them.

    Raises:
        RequestError: the training is counted in another unit.
    """
    train = cfg.get('train_cfg') or {}
    before = train.get(f'max_{length.unit}')
    if before is None:
        other = 'iters' if length.unit == 'epochs' else 'epochs'
        raise RequestError(f'--{length.unit}: the dense training is not counted so (train_cfg='
                           f'{dict(train)}); give --{other} and --finetune-{other}')
    share = length.count / before
    changes: dict[str, Any] = {'train_cfg': {
        f'max_{length.unit}': length.count,
        'val_interval': _scaled(train.get('val_interval', 1), share)}}
    if train.get('dynamic_intervals'):
        changes['train_cfg']['dynamic_intervals'] = None
    schedulers = cfg.get('param_scheduler')
    if schedulers:
        several = isinstance(schedulers, (list, tuple))
        changes['param_scheduler'] = [
            _scaled_scheduler(item, share) for item in (schedulers if several else [schedulers])]
    if cfg.get('custom_hooks'):
        changes['custom_hooks'] = [_scaled_hook(hook, share) for hook in cfg.custom_hooks]
    return changes


def _scaled(value: int, share: float) -> int:
    return value if value <= 0 else max(1, round(value * share))


def _scaled_scheduler(scheduler: Mapping[str, Any], share: float) -> dict[str, Any]:
    scaled = dict(scheduler)
    for name in _TIMES:
        if isinstance(scaled.get(name), int):
            scaled[name] = _scaled(scaled[name], share)
    if isinstance(scaled.get('begin'), int) and isinstance(scaled.get('end'), int) \
            and scheduler['begin'] < scheduler['end']:
        scaled['end'] = max(scaled['end'], scaled['begin'] + 1)
    if 'milestones' in scaled:
        scaled['milestones'] = [_scaled(value, share) for value in scaled['milestones']]
    return scaled


def _scaled_hook(hook: Mapping[str, Any], share: float) -> dict[str, Any]:
    scaled = dict(hook)
    for name in _HOOK_EPOCHS.get(str(hook.get('type')).rpartition('.')[2], ()):
        value = scaled.get(name)
        if isinstance(value, Mapping):
            scaled[name] = {_scaled(epoch, share): change for epoch, change in value.items()}
        elif isinstance(value, int):
            scaled[name] = _scaled(value, share)
    return scaled
