"""The settings of one OpenGait YAML file as a config of ours."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .data import Data, read_data
from .defaults import NO_ROOT, with_defaults
from .evaluation import read_evaluator
from .losses import read_losses
from .refused import REFUSED
from .registry import MODEL_BUILDERS, PICKLES, ModelContext, build_model
from .sampling import read_batches, read_frames
from .schedule import read_optimizer, read_run, read_scheduler
from .section import Section
from .transforms import Steps, read_transforms

#: OpenGait's initial weights: Xavier for convolutions, nearly one for BatchNorm.
_INIT = [{'type': 'Xavier', 'layer': ['Conv1d', 'Conv2d', 'Conv3d', 'Linear'],
          'distribution': 'uniform'},
         {'type': 'Normal', 'layer': ['BatchNorm1d', 'BatchNorm2d', 'BatchNorm3d'], 'mean': 1.,
          'std': 0.02}]


@dataclass(frozen=True)
class ConvertedSettings:
    """A config, as data.

    Attributes:
        bases (tuple[str, ...]): Files it inherits, below `configs/gait/_base_`.
        config (dict[str, Any]): Plain values on top of them.
        notes (tuple[str, ...]): What its user has to do, or to know.
    """

    bases: tuple[str, ...]
    config: dict[str, Any]
    notes: tuple[str, ...]


def convert_settings(settings: object) -> ConvertedSettings:
    """Translate the settings of one YAML file, merged over OpenGait's defaults.

    Args:
        settings (object): Its content.

    Raises:
        SettingError: If a setting is missing, has a wrong value, or has no counterpart.
    """
    top = Section(with_defaults(settings), 'settings')
    # first of all: what is asked of the rest depends on it
    wanted = top.section('model_cfg')
    name = wanted.text('model')
    if name in REFUSED:
        raise wanted.fail('model', f'has no counterpart: {REFUSED[name]}')
    wanted.choice('model', MODEL_BUILDERS)
    data = read_data(top.section('data_cfg'), PICKLES.get(name, 1))
    trainer, evaluator = top.section('trainer_cfg'), top.section('evaluator_cfg')
    model = build_model(top.section('model_cfg'), ModelContext(data.name, read_losses(top)))
    channels = _channels(model['backbone'])
    train = read_transforms(trainer, channels)
    if train.scale != 1 / 255:
        model.setdefault('data_preprocessor', {'type': 'GaitDataPreprocessor'})
        model['data_preprocessor']['scale'] = train.scale
    run, bases, notes = read_run(trainer)
    if data.dataset['data_prefix']['path'] == NO_ROOT:
        notes.append(f'data_cfg.dataset_root is {NO_ROOT}: give the path of the data, as '
                     '*_dataloader.dataset.data_prefix.path')
    metric = read_evaluator(evaluator, data.judged_as)
    config = {
        'model': {**model, 'init_cfg': model.get('init_cfg', _INIT)},
        'train_dataloader': _train_loader(trainer.section('sampler'), data, train),
        **_test_loaders(evaluator, data, train),
        'val_evaluator': metric, 'test_evaluator': metric,
        'optim_wrapper': {'optimizer': read_optimizer(top.section('optimizer_cfg'))},
        'param_scheduler': read_scheduler(top.section('scheduler_cfg')),
        **run}
    if not bases:
        config['optim_wrapper']['type'] = 'OptimWrapper'
    for section in (trainer, evaluator, top):
        section.done()
    return ConvertedSettings((f'datasets/{data.base}.py', 'runtime.py', *bases), config,
                             tuple(notes))


def _channels(backbone: dict) -> int:
    """Channels of a frame."""
    return sum(backbone['inputs']) if 'inputs' in backbone else backbone.get('in_channels', 1)


def _loader(data: Data, frames: dict, steps: Steps) -> dict:
    load: dict = {'type': 'LoadSilhouettes'}
    if steps.channels != 1:
        load['channels'] = steps.channels
    pipeline = [load, frames, *steps.steps, {'type': 'PackGaitInputs'}]
    return {'num_workers': data.num_workers, 'persistent_workers': data.num_workers > 0,
            'dataset': {**data.dataset, 'pipeline': pipeline}}


def _train_loader(sampler: Section, data: Data, steps: Steps) -> dict:
    loader = {**read_batches(sampler), **_loader(data, read_frames(sampler), steps)}
    sampler.done()
    return loader


def _test_loaders(evaluator: Section, data: Data, train: Steps) -> dict:
    steps = read_transforms(evaluator, train.channels)
    if steps.scale != train.scale:
        raise evaluator.fail('transform', 'scales the pixels otherwise than that of trainer_cfg')
    sampler = evaluator.section('sampler')
    sampler.choice('type', ('InferenceSampler',))
    sampler.ignore('batch_size', 'batch_shuffle')  # the number of OpenGait's GPUs; not used
    loader = _loader(data, read_frames(sampler), steps)
    sampler.done()
    return {'val_dataloader': loader, 'test_dataloader': loader}
