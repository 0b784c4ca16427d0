"""`optimizer_cfg`, `scheduler_cfg` and the run of `trainer_cfg`."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from .section import Section

#: Base config that gives half precision where there is an accelerator.
HALF_PRECISION = 'schedules/half_precision.py'


def read_optimizer(optimizer: Section) -> dict:
    """Config of the optimizer. What a solver does not know is dropped, as OpenGait drops it."""
    solver = optimizer.choice('solver', ('SGD', 'Adam', 'AdamW'))
    config = {'type': solver, 'lr': optimizer.number('lr'),
              'weight_decay': optimizer.number('weight_decay')}
    if solver == 'SGD':
        config['momentum'] = optimizer.number('momentum', most=1.)
        if 'dampening' in optimizer:
            config['dampening'] = optimizer.number('dampening', most=1.)
        if optimizer.flag('nesterov', False):
            config['nesterov'] = True
    else:
        if 'betas' in optimizer:
            config['betas'] = optimizer.numbers('betas', length=2, most=1.)
        if 'eps' in optimizer:
            config['eps'] = optimizer.number('eps')
        if optimizer.flag('amsgrad', False):
            config['amsgrad'] = True
        optimizer.ignore('momentum')  # of the defaults, for SGD
    optimizer.done()
    return config


def read_scheduler(scheduler: Section) -> dict:
    """Config of the learning rate's schedule, in iterations."""
    kind = scheduler.choice('scheduler', _SCHEDULERS)
    config = {'type': scheduler.get('scheduler'), 'by_epoch': False, **kind(scheduler)}
    scheduler.ignore('gamma', 'milestones')  # of the defaults, for MultiStepLR
    scheduler.done()
    return config


def _multi_step(scheduler: Section) -> dict:
    return {'milestones': scheduler.integers('milestones'), 'gamma': scheduler.number('gamma')}


def _one_cycle(scheduler: Section) -> dict:
    if scheduler.flag('cycle_momentum', True):
        raise scheduler.fail('cycle_momentum', 'has no counterpart (left out it is true): MMEngine '
                             'cycles the learning rate alone')
    return {'eta_max': scheduler.number('max_lr'), 'total_steps': scheduler.integer('total_steps'),
            'pct_start': scheduler.number('pct_start', 0.3, most=1.),
            'anneal_strategy': scheduler.choice('anneal_strategy', ('cos', 'linear'), 'cos'),
            'div_factor': scheduler.number('div_factor', 25., least=1e-9),
            'final_div_factor': scheduler.number('final_div_factor', 1e4, least=1e-9),
            'three_phase': scheduler.flag('three_phase', False)}


_SCHEDULERS: dict[str, Callable[[Section], dict]] = {
    'MultiStepLR': _multi_step,
    'StepLR': lambda s: {'step_size': s.integer('step_size'), 'gamma': s.number('gamma')},
    'ExponentialLR': lambda s: {'gamma': s.number('gamma')},
    'CosineAnnealingLR': lambda s: {'T_max': s.integer('T_max'),
                                    'eta_min': s.number('eta_min', 0.)},
    'OneCycleLR': _one_cycle,
}


def read_run(trainer: Section) -> tuple[dict, list[str], list[str]]:
    """Length of the run, precision, BatchNorm, and where it starts from.

    Returns:
        tuple[dict, list[str], list[str]]: Settings, further base configs, and what the reader of
        the config has to do.
    """
    iters, interval = trainer.integer('total_iter'), trainer.integer('save_iter')
    tested = trainer.flag('with_test')
    config: dict = {
        'train_cfg': {'type': 'IterBasedTrainLoop', 'max_iters': iters,
                      'val_interval': interval if tested else iters},
        'default_hooks': {'checkpoint': {'interval': interval},
                          'logger': {'interval': trainer.integer('log_iter')}}}
    if not trainer.flag('sync_BN'):
        config['sync_bn'] = None
    if trainer.flag('find_unused_parameters'):
        config['find_unused_parameters'] = True
    if trainer.flag('fix_BN'):
        raise trainer.fail('fix_BN', 'has no counterpart: BatchNorm is trained')
    # names of the run, and settings that OpenGait no longer reads
    trainer.ignore('save_name', 'enable_distributed')
    if trainer.flag('fix_layers', False):
        raise trainer.fail('fix_layers', 'has no counterpart, nor is it read by OpenGait')
    start, notes = _start(trainer)
    return {**config, **start}, [HALF_PRECISION] if trainer.flag('enable_float16') else [], notes


def _start(trainer: Section) -> tuple[dict, list[str]]:
    """Where training starts: from nothing, or from the weights of an official checkpoint."""
    trainer.ignore('restore_ckpt_strict')
    resets = [trainer.flag(key) for key in ('optimizer_reset', 'scheduler_reset')]
    hint = trainer.get('restore_hint')
    if not isinstance(hint, str):
        iteration = trainer.integer('restore_hint', least=0)
        # a number names a checkpoint of the same run, whose beginning is that of this file
        return {}, [f'restore_hint {iteration} goes on with a run of the same name; this config '
                    'trains from the beginning'] if iteration else []
    source = trainer.text('restore_hint')
    if not source.endswith('.pt'):
        raise trainer.fail('restore_hint', 'is no path of an official checkpoint, ending in .pt')
    target = str(PurePosixPath(source).with_suffix('.pth'))
    notes = [f'training starts from {target}, which tools/gait/convert_checkpoint.py makes of '
             f'{source}, with the config of the model that {source} is of']
    if not all(resets):
        notes.append('optimizer and schedule start anew, which OpenGait restores with the weights')
    return {'load_from': target}, notes
