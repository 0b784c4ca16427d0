"""The settings of OpenGait's official YAML files that tell them apart, as rows of our own making.

What a row does not name is as in `OFFICIAL_BASE`. The files themselves have no licence and are not
here; `settings_of` gives what a file says, in the keys of the format.
"""
from __future__ import annotations

import copy
from typing import Any

CUT = 'BaseSilCuttingTransform'
DA = ('RandomPerspective', CUT, 'RandomHorizontalFlip', 'RandomRotate')

SGD = {'solver': 'SGD', 'lr': 0.1, 'momentum': 0.9, 'weight_decay': 5e-4}
ADAM = {'solver': 'Adam', 'lr': 1e-4, 'weight_decay': 0}

WIDE = 'BC-64 BC-64 M BC-128 BC-128 M BC-256 BC-256'
NARROW = 'BC-32 BC-32 M BC-64 BC-64 M BC-128 BC-128 BC-256 BC-256'
DEEP = f'{WIDE} M BC-512 BC-512'


def resnet(classes: int) -> dict:
    return {'model': 'Baseline', 'bin_num': [16],
            'backbone_cfg': {'type': 'ResNet9', 'block': 'BasicBlock', 'maxpool': False,
                             'channels': [64, 128, 256, 512], 'layers': [1, 1, 1, 1],
                             'strides': [1, 2, 2, 1]},
            'SeparateFCs': {'in_channels': 512, 'out_channels': 256, 'parts_num': 16},
            'SeparateBNNecks': {'in_channels': 256, 'class_num': classes, 'parts_num': 16}}


def plain(classes: int, layers: str = WIDE, bins: tuple[int, ...] = (16, 8, 4, 2, 1)) -> dict:
    width = int(layers.rpartition('-')[2])
    return {'model': 'Baseline', 'bin_num': list(bins),
            'backbone_cfg': {'type': 'Plain', 'in_channels': 1, 'layers_cfg': layers.split()},
            'SeparateFCs': {'in_channels': width, 'out_channels': 256, 'parts_num': sum(bins)},
            'SeparateBNNecks': {'in_channels': 256, 'class_num': classes, 'parts_num': sum(bins)}}


def gaitgl(classes: int, *channels: int, necks: bool = False) -> dict:
    extra = {'SeparateBNNecks': {'class_num': classes, 'in_channels': channels[-1],
                                 'parts_num': 64}} if necks else {}
    return {'model': 'GaitGL', 'channels': list(channels), 'class_num': classes, **extra}


def row(dataset: str, model: dict, iters: int, milestones: tuple[int, ...],
        batch: tuple[int, int], **other: Any) -> dict:
    return {'dataset': dataset, 'model': model, 'iters': iters, 'milestones': milestones,
            'batch': batch, **other}


_G3P = {'transform': ('BaseParsingCuttingTransform',), 'eval_func': 'evaluate_Gait3D'}
_GL = {'optimizer': ADAM, 'frames': 'fixed_ordered', 'scale': 1, 'transform': None, 'limit': None}
_UNFIXED = {'frames': 'unfixed_unordered', 'transform': DA, 'prob': 0.2}
#: Settings by name of the file, without its ending.
OFFICIAL = {
    'gaitbase_casiae': row('CASIA-E', resnet(200), 60000, (20000, 40000, 50000), (8, 32)),
    'gaitbase_ccpg': row('CCPG', resnet(100), 60000, (20000, 40000, 50000), (8, 16),
                         eval_func='evaluate_CCPG', data_in_use=[True, False, False, False],
                         img_w=64),
    'gaitbase_da_casiab': row('CASIA-B', resnet(74), 60000, (20000, 40000, 50000), (8, 16),
                              transform=(CUT, 'RandomRotate', 'RandomErasing'), prob=0.3),
    'gaitbase_da_gait3d': row('Gait3D', resnet(3000), 60000, (20000, 40000, 50000), (32, 4),
                              eval_func='evaluate_Gait3D', minmax=(10, 50), **_UNFIXED),
    'gaitbase_da_grew': row('GREW', resnet(20000), 180000, (80000, 120000, 150000), (32, 4),
                            eval_func='GREW_submission', minmax=(20, 40), **_UNFIXED),
    'gaitbase_gait3d_parsing_btz32x2_fixed': row(
        'Gait3D-Parsing', resnet(3000), 120000, (40000, 80000, 100000), (32, 2), **_G3P),
    'gaitbase_hid': row('HID', plain(500, DEEP), 60000, (20000, 40000), (16, 8), judged=None,
                        eval_func='HID_submission', rerank=False, img_w=128, weight=0.1),
    'gaitbase_oumvlp': row('OUMVLP', resnet(5153), 120000, (60000, 80000, 100000), (32, 8)),
    'gaitgl': row('CASIA-B', gaitgl(74, 32, 64, 128), 80000, (70000,), (8, 8), smooth=False,
                  **{**_GL, 'optimizer': {**ADAM, 'weight_decay': 5e-4}}),
    'gaitgl_OUMVLP': row('OUMVLP', gaitgl(5153, 32, 64, 128, 256), 210000, (150000, 200000),
                         (32, 8), smooth=True, **_GL),
    'gaitgl_GREW': row('GREW', gaitgl(20000, 32, 64, 128, 256), 250000, (150000, 200000), (32, 4),
                       smooth=True, eval_func='GREW_submission', **_GL),
    'gaitgl_GREW_BNNeck': row('GREW', gaitgl(20000, 32, 64, 128, 256, necks=True), 250000,
                              (150000, 200000), (32, 4), smooth=True, eval_func='GREW_submission',
                              **_GL),
    'gaitgl_gait3d_parsing': row(
        'Gait3D-Parsing', gaitgl(3000, 32, 64, 128), 180000, (30000, 90000), (32, 4),
        smooth=False, metric='cos', **{**_GL, **_G3P, 'optimizer': {
            'solver': 'Adam', 'lr': 1e-3, 'momentum': 0.9, 'weight_decay': 5e-4}}),
    'baseline': row('CASIA-B', plain(74), 60000, (20000, 40000), (8, 16), img_w=64, weight=0.1),
    'baseline_GREW': row('GREW', plain(20000, NARROW, (16,)), 250000, (150000,), (32, 8),
                         eval_func='GREW_submission', img_w=64, weight=0.1),
    'baseline_Gait3D': row('Gait3D', plain(3000), 60000, (20000, 40000, 50000), (32, 4),
                           eval_func='evaluate_Gait3D', data_in_use=[True, False], weight=0.1),
    'baseline_OUMVLP': row('OUMVLP', plain(5153, NARROW), 150000, (50000, 100000), (32, 16),
                           transform=None, weight=0.1),
    'baseline_hid': row('HID', plain(500, DEEP), 60000, (20000, 40000), (16, 8), judged=None,
                        eval_func='HID_submission', rerank=False, img_w=128, weight=0.1),
}


def settings_of(name: str) -> dict:
    """The content of an official file, as YAML gives it."""
    return settings(name, OFFICIAL[name])


def settings(name: str, facts: dict) -> dict:
    """The settings of a row."""
    facts = copy.deepcopy(facts)
    wanted = facts.get('transform', (CUT,))
    evaluator: dict = {'metric': facts.get('metric', 'euc'), 'restore_hint': facts['iters'],
                       'enable_float16': True, 'restore_ckpt_strict': True, 'save_name': name,
                       'sampler': {'batch_size': 4, 'sample_type': 'all_ordered',
                                   'batch_shuffle': False}}
    trainer: dict = {
        'enable_float16': True, 'log_iter': 100, 'restore_ckpt_strict': True,
        'restore_hint': facts.get('hint', 0), 'save_iter': 10000, 'save_name': name,
        'sync_BN': facts.get('sync', True), 'total_iter': facts['iters'], 'with_test': False,
        'sampler': {
            'type': 'TripletSampler', 'batch_size': list(facts['batch']),
            'batch_shuffle': facts.get('shuffle', True),
            'sample_type': facts.get('frames', 'fixed_unordered'),
            'frames_num_fixed': facts.get('fixed', 30), 'frames_skip_num': facts.get('skip', 0)}}
    trainer['sampler'].update(zip(('frames_num_min', 'frames_num_max'), facts.get('minmax', ())))
    if facts.get('limit', 720):
        evaluator['sampler']['frames_all_limit'] = 720
    for key in ('eval_func', 'rerank'):
        if key in facts:
            evaluator[key] = facts[key]
    if wanted is not None:
        base = next(kind for kind in wanted if kind.startswith('Base'))
        evaluator['transform'] = [{'type': base}]
        steps = [{'type': kind, **({'prob': facts['prob']} if kind.startswith('Random') else {})}
                 for kind in wanted]
        trainer['transform'] = [{'type': 'Compose', 'trf_cfg': steps}] if len(steps) > 1 else steps
        if 'img_w' in facts:
            evaluator['transform'][0]['img_w'] = steps[0]['img_w'] = facts['img_w']
    data = {'dataset_name': facts['dataset'], 'dataset_root': f'data/{facts["dataset"]}',
            'dataset_partition': f'data/{facts["dataset"]}.json', 'num_workers': 1,
            'remove_no_gallery': False, 'test_dataset_name': facts['dataset']}
    if facts.get('judged', True) is None:
        del data['test_dataset_name']
    if 'data_in_use' in facts:
        data['data_in_use'] = facts['data_in_use']
    softmax = {'type': 'CrossEntropyLoss', 'scale': facts.get('scale', 16), 'log_accuracy': True,
               'loss_term_weight': facts.get('weight', 1.0), 'log_prefix': 'softmax'}
    if 'smooth' in facts:
        softmax['label_smooth'] = facts['smooth']
    return {'data_cfg': data, 'evaluator_cfg': evaluator, 'trainer_cfg': trainer,
            'model_cfg': facts['model'],
            'optimizer_cfg': copy.deepcopy(facts.get('optimizer', SGD)),
            'scheduler_cfg': {'scheduler': 'MultiStepLR', 'gamma': 0.1,
                              'milestones': list(facts['milestones'])},
            'loss_cfg': [{'type': 'TripletLoss', 'margin': 0.2, 'loss_term_weight': 1.0,
                          'log_prefix': 'triplet'}, *([softmax] if facts.get('softmax', True)
                                                      else [])]}
