"""OpenGait YAML settings as a config of ours."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .convert import ModelContext, Section, SettingError
from .convert.registry import build_model

DATASETS = {'CASIA-B': ('casiab', 'CASIABDataset'), 'OUMVLP': ('oumvlp', 'OUMVLPDataset'),
            'Gait3D': ('gait3d', 'Gait3DDataset'), 'GREW': ('grew', 'GREWDataset')}

# settings that MMEngine's runner, or the command line, takes the place of
_IGNORED = {'num_workers', 'remove_no_gallery', 'test_dataset_name', 'cache', 'restore_ckpt_strict',
            'restore_hint', 'save_name', 'eval_func', 'log_iter', 'with_test', 'log_prefix',
            'log_accuracy', 'batch_shuffle', 'type', 'optimizer_reset', 'scheduler_reset',
            'enable_float16'}


class _Section:
    """A mapping of which every key must be read."""

    def __init__(self, content: Mapping[str, Any], path: str) -> None:
        if not isinstance(content, Mapping):
            raise SettingError(f'{path} must be a mapping, not {content!r}')
        self.content, self.path = content, path
        self.read: set[str] = set()

    def __call__(self, key: str, *default: Any) -> Any:
        self.read.add(key)
        if key not in self.content and not default:
            raise SettingError(f'{self.path}.{key} is missing')
        return self.content.get(key, *default)

    def section(self, key: str) -> _Section:
        return _Section(self(key), f'{self.path}.{key}')

    def done(self) -> None:
        left = sorted(set(self.content) - self.read - _IGNORED)
        if left:
            raise SettingError(f'{self.path} has settings without a counterpart: {left}')


def convert(settings: Mapping[str, Any]) -> tuple[str, dict]:
    """Translate the settings of one YAML file.

    Args:
        settings (Mapping): Its content.

    Returns:
        tuple[str, dict]: Name of the data set's base config, and the config on top of it and of the
        runtime base.

    Raises:
        SettingError: If a setting is missing, has an unknown value, or has no counterpart.
    """
    top = _Section(settings, 'settings')
    data = top.section('data_cfg')
    dataset = data('dataset_name')
    if dataset not in DATASETS:
        raise SettingError(f'settings.data_cfg.dataset_name {dataset!r} is none of '
                           f'{list(DATASETS)}')
    base, kind = DATASETS[dataset]
    common = {'type': kind, 'data_root': '', 'ann_file': data('dataset_partition'),
              'data_prefix': {'path': data('dataset_root')}}
    data.done()
    trainer, evaluator = top.section('trainer_cfg'), top.section('evaluator_cfg')
    train, size = _train_sampling(trainer.section('sampler'))
    config = {
        'model': build_model(Section(top('model_cfg'), 'settings.model_cfg'),
                             ModelContext(dataset, _losses(top('loss_cfg')))),
        'train_dataloader': {
            'batch_size': size[0] * size[1], 'batch_sampler': {'subjects': size[0]},
            'dataset': {**common, 'pipeline': _pipeline(train, trainer('transform'))}},
        **_schedule(top, trainer)}
    sampler = evaluator.section('sampler')
    test = {'type': 'SampleFrames', 'mode': 'all', 'limit': sampler('frames_all_limit', 720)}
    if sampler('sample_type') not in ('all_ordered', 'all'):
        raise SettingError('evaluator_cfg.sampler.sample_type must be all_ordered, not '
                           f'{sampler("sample_type")!r}')
    sampler('batch_size', None)  # unequal lengths share a batch here, of any size
    sampler.done()
    for loader in ('val_dataloader', 'test_dataloader'):
        config[loader] = {'dataset': {**common, 'pipeline': _pipeline(
            test, evaluator('transform'))}}
    distance = {'euc': 'euclidean', 'cos': 'cosine'}.get(evaluator('metric', 'euc'))
    if distance is None:
        raise SettingError(f"evaluator_cfg.metric {evaluator('metric')!r} is neither euc nor cos")
    config['val_evaluator'] = {'distance': distance}
    config['test_evaluator'] = {'distance': distance}
    for section in (trainer, evaluator, top):
        section.done()
    return base, config


def _train_sampling(sampler: _Section) -> tuple[dict, tuple[int, int]]:
    mode, _, order = sampler('sample_type').partition('_')
    if mode not in ('fixed', 'unfixed') or order not in ('ordered', 'unordered'):
        raise SettingError(f'{sampler.path}.sample_type {sampler("sample_type")!r} is unknown')
    size = sampler('batch_size')
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        raise SettingError(f'{sampler.path}.batch_size must be [P, K], not {size!r}')
    frames = {'type': 'SampleFrames', 'mode': mode, 'ordered': order == 'ordered',
              'skip': sampler('frames_skip_num', 0) if order == 'ordered' else 0}
    if mode == 'fixed':
        frames['num_frames'] = sampler('frames_num_fixed')
    else:
        frames['min_frames'] = sampler('frames_num_min')
        frames['max_frames'] = sampler('frames_num_max')
    # each sampler carries the settings of all modes
    sampler.read.update(('frames_num_fixed', 'frames_num_min', 'frames_num_max',
                         'frames_skip_num'))
    sampler.done()
    return frames, tuple(size)


_TRANSFORMS = {
    'BaseSilCuttingTransform': ('CropSides', {}),
    'RandomPerspective': ('PerspectiveSequence', {'prob': 'prob'}),
    'RandomHorizontalFlip': ('FlipSequence', {'prob': 'prob'}),
    'RandomRotate': ('RotateSequence', {'prob': 'prob', 'degree': 'degrees'}),
    'RandomErasing': ('EraseSequence', {'prob': 'prob'}),
}


def _pipeline(frames: dict, transforms: list[Mapping]) -> list[dict]:
    steps: list[dict] = []

    def add(entries: list[Mapping]) -> None:
        for entry in entries:
            section = _Section(entry, 'transform')
            name = section('type')
            if name == 'Compose':
                add(section('trf_cfg'))
            elif name in _TRANSFORMS:
                ours, arguments = _TRANSFORMS[name]
                steps.append({'type': ours, **{new: entry[old] for old, new in arguments.items()
                                               if old in entry}})
                section.read.update(arguments)
            else:
                raise SettingError(f'transform {name!r} is none of {sorted(_TRANSFORMS)}')
            section.done()

    add(transforms)
    return [{'type': 'LoadSilhouettes'}, frames, *steps, {'type': 'PackGaitInputs'}]


def _losses(entries: list[Mapping]) -> dict:
    losses = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        section = _Section(entry, 'loss_cfg')
        name, weight = section('type'), section('loss_term_weight', 1.0)
        if name == 'TripletLoss':
            losses[section('log_prefix')] = {
                'type': 'PartTripletLoss', 'margin': section('margin'), 'loss_weight': weight}
        elif name == 'CrossEntropyLoss':
            smoothing = section('eps', 0.1) if section('label_smooth', True) else 0.
            section.read.add('eps')
            losses[section('log_prefix')] = {
                'type': 'PartCrossEntropyLoss', 'scale': section('scale', 16),
                'label_smoothing': smoothing, 'loss_weight': weight}
        else:
            raise SettingError(f'loss_cfg type {name!r} is neither TripletLoss nor '
                               'CrossEntropyLoss')
        section.done()
    return losses


def _schedule(top: _Section, trainer: _Section) -> dict:
    optimizer, scheduler = top.section('optimizer_cfg'), top.section('scheduler_cfg')
    solver: dict[str, Any] = {'type': optimizer('solver')}
    wrapper = {'type': 'AmpOptimWrapper' if trainer('enable_float16', False) else 'OptimWrapper',
               'optimizer': solver}
    for key in ('lr', 'momentum', 'weight_decay'):
        if optimizer(key, None) is not None:
            solver[key] = optimizer(key)
    optimizer.done()
    if solver['type'] not in ('SGD', 'Adam'):
        raise SettingError(f'optimizer_cfg.solver {optimizer("solver")!r} is neither SGD nor Adam')
    if solver['type'] == 'Adam':
        solver.pop('momentum', None)
    if scheduler('scheduler') != 'MultiStepLR':
        raise SettingError(f'scheduler_cfg.scheduler {scheduler("scheduler")!r} is not MultiStepLR')
    steps = {'type': 'MultiStepLR', 'milestones': scheduler('milestones'),
             'gamma': scheduler('gamma'), 'by_epoch': False}
    scheduler.done()
    if trainer('fix_BN', False):
        raise SettingError('trainer_cfg.fix_BN=true has no counterpart')
    interval = trainer('save_iter', 10000)
    return {'optim_wrapper': wrapper, 'param_scheduler': steps,
            'train_cfg': {'type': 'IterBasedTrainLoop', 'max_iters': trainer('total_iter'),
                          'val_interval': interval},
            'default_hooks': {'checkpoint': {'interval': interval}},
            'sync_bn': 'torch' if trainer('sync_BN', False) else None}
