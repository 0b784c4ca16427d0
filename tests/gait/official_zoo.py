"""The other official YAML files, as rows of `official_yamls`, and those that are refused."""
from __future__ import annotations

from .official_yamls import ADAM, CUT, DA, SGD, resnet, row, settings

_WHOLE = ('RandomPerspective', 'BaseSilTransform', *DA[2:])
_BINS = [16, 8, 4, 2, 1]
#: data set, function, batch, iterations, milestones
_CASIAB = ('CASIA-B', None, (8, 16), 60000, (20000, 40000, 50000))
_CCPG = ('CCPG', 'evaluate_CCPG', (8, 16), 60000, (20000, 40000, 50000))
_GAIT3D = ('Gait3D', 'evaluate_Gait3D', (32, 4), 60000, (20000, 40000, 50000))
_GREW = ('GREW', 'GREW_submission', (32, 4), 180000, (80000, 120000, 150000))
_OUMVLP = ('OUMVLP', None, (32, 8), 120000, (60000, 80000, 100000))
_SUSTECH = ('SUSTech1K', 'evaluate_indoor_dataset', (8, 8), 50000, (20000, 30000, 40000))
_EARLIER = (20000, 30000, 40000)


def deep(classes: int, *layers: int, channels: int = 1, **other: object) -> dict:
    return {'model': 'DeepGaitV2', 'SeparateBNNecks': {'class_num': classes}, **other,
            'Backbone': {'mode': 'p3d', 'in_channels': channels, 'layers': list(layers),
                         'channels': [64, 128, 256, 512]}}


def skeleton(classes: int, *blocks: int) -> dict:
    return {'model': 'SkeletonGaitPP', 'SeparateBNNecks': {'class_num': classes},
            'Backbone': {'in_channels': 3, 'blocks': list(blocks), 'C': 2}}


def multi(classes: int, first: int, second: int, *blocks: int) -> dict:
    return {'model': 'MultiGaitpp', 'SeparateBNNecks': {'class_num': classes},
            'Backbone': {'blocks': list(blocks), 'C': 2, 'part1_channel': first,
                         'part2_channel': second}}


def fcs(inner: int, outer: int, parts: int) -> dict:
    return {'in_channels': inner, 'out_channels': outer, 'parts_num': parts}


def gaitset(*channels: int) -> dict:
    return {'model': 'GaitSet', 'in_channels': [1, *channels], 'bin_num': _BINS,
            'SeparateFCs': fcs(channels[-1], 256, 62)}


def gaitpart(width: int, layers: str) -> dict:
    return {'model': 'GaitPart', 'bin_num': [16], 'SeparateFCs': fcs(width, width, 16),
            'backbone_cfg': {'type': 'Plain', 'in_channels': 1, 'layers_cfg': layers.split()}}


def gln(classes: int, first_phase: bool) -> dict:
    return {'model': 'GLN', 'class_num': classes, 'lateral_dim': 256, 'hidden_dim': 256,
            'dropout': 0.9, 'in_channels': [1, 32, 64, 128], 'SeparateFCs': fcs(256, 256, 93),
            'bin_num': _BINS, 'Lateral_pretraining': first_phase}


def on(place: tuple, model: dict, **other: object) -> dict:
    """A row of a model around DeepGaitV2."""
    dataset, function, batch, iters, milestones = place
    rows = {'transform': DA, 'prob': 0.2, 'frames': 'fixed_ordered', 'skip': 4, **other}
    if function:
        rows['eval_func'] = function
    if dataset == 'SUSTech1K':
        rows.setdefault('fixed', 10)
    return row(dataset, model, rows.pop('iters', iters), rows.pop('milestones', milestones), batch,
               **rows)


def plain(dataset: str, model: dict, iters: int, milestones: tuple[int, ...],
          batch: tuple[int, int], optimizer: dict, **other: object) -> dict:
    """A row of a model that the triplet loss trains."""
    return row(dataset, model, iters, milestones, batch, optimizer=optimizer,
               **{'softmax': False, 'limit': None, 'transform': None, 'shuffle': False,
                  'sync': model['model'] == 'GLN', **other})


_G3P = {'transform': ('BaseParsingCuttingTransform',), 'eval_func': 'evaluate_Gait3D',
        'metric': 'cos'}
_SLOW_ADAM = {'solver': 'Adam', 'lr': 1e-3, 'momentum': 0.9, 'weight_decay': 5e-4}
_ORDERED = {'frames': 'fixed_ordered', 'skip': 10}
_GLN = {'transform': (CUT,), 'img_w': 128, 'frames': 'fixed_ordered'}
_PHASE2 = {'softmax': True, 'weight': 0.1}
_SMALL = 'BC-32 BC-32 M FC-64-2 FC-64-2 M FC-128-3 FC-128-3'
_LARGE = 'BC-32 BC-32 M BC-64 BC-64 M FC-128-3 FC-128-3 FC-256-3 FC-256-3'
_MAPS, _BOTH = {'data_in_use': [True, False]}, {'data_in_use': [True, True]}
#: Facts by name of the file.
ZOO_FILES = {
    'DeepGaitV2_casiab': on(_CASIAB, deep(74, 1, 1, 1, 1)),
    'DeepGaitV2_ccpg': on(_CCPG, deep(100, 1, 1, 1, 1), data_in_use=[True, False, False, False]),
    'DeepGaitV2_gait3d': on(_GAIT3D, deep(3000, 1, 4, 4, 1)),
    'DeepGaitV2_grew': on(_GREW, deep(20000, 1, 4, 4, 1)),
    'DeepGaitV2_oumvlp': on(_OUMVLP, deep(5153, 1, 1, 1, 1)),
    'DeepGaitV2_sustech1k': on(_SUSTECH, deep(250, 1, 1, 1, 1),
                               data_in_use=[i == 6 for i in range(16)]),
    'skeletongait_CCPG': on(_CCPG, deep(100, 1, 1, 1, 1, channels=2, use_emb2=True),
                            milestones=_EARLIER, **_MAPS),
    'skeletongait_GREW': on(_GREW, deep(20000, 1, 4, 4, 1, channels=2), hint=90000, **_MAPS),
    'skeletongait_Gait3D': on(_GAIT3D, deep(3000, 1, 4, 4, 1, channels=2), milestones=_EARLIER,
                              **_MAPS),
    'skeletongait_OUMVLP': on(_OUMVLP, deep(5153, 1, 1, 1, 1, channels=2), prob=0.5,
                              transform=(CUT, 'RandomHorizontalFlip'), **_MAPS),
    'skeletongait_SUSTech1K': on(_SUSTECH, deep(250, 1, 1, 1, 1, channels=2),
                                 frames='fixed_unordered', **_MAPS),
    'skeletongait++_CCPG': on(_CCPG, skeleton(100, 1, 1, 1, 1), milestones=_EARLIER, hint=30000,
                              **_BOTH),
    'skeletongait++_GREW': on(_GREW, skeleton(20000, 1, 4, 4, 1), **_BOTH),
    'skeletongait++_Gait3D': on(_GAIT3D, skeleton(3000, 1, 4, 4, 1), milestones=_EARLIER,
                                **{**_BOTH, 'transform': _WHOLE}),
    'skeletongait++_SUSTech1K': on(_SUSTECH, skeleton(250, 1, 1, 1, 1), hint=20000, **_BOTH),
    'multigaitpp_ccpg': on(_CCPG, multi(100, 2, 3, 1, 1, 1, 1), skip=8, iters=600000),
    'multigaitpp_gait3d': on(_GAIT3D, multi(3000, 1, 1, 1, 2, 2, 1), transform=_WHOLE),
    'multigaitpp_grew': on(_GREW, multi(20000, 1, 3, 1, 2, 2, 1), transform=_WHOLE),
    'multigaitpp_sustech1k': on(_SUSTECH, multi(250, 2, 3, 1, 1, 1, 1)),
    'lidargait_sustech1k': row(
        'SUSTech1K', {**resnet(250), 'backbone_cfg': {**resnet(250)['backbone_cfg'],
                                                      'in_channel': 3}},
        40000, (20000, 30000), (8, 8), eval_func='evaluate_indoor_dataset', fixed=10,
        transform=('BaseSilTransform',), data_in_use=[i == 1 for i in range(16)]),
    'gaitset': plain('CASIA-B', gaitset(32, 64, 128), 40000, (10000, 20000, 30000), (8, 16), SGD),
    'gaitset_GREW': plain('GREW', gaitset(64, 128, 256), 250000, (150000,), (32, 4), ADAM,
                          eval_func='GREW_submission'),
    'gaitset_OUMVLP': plain('OUMVLP', gaitset(64, 128, 256), 250000, (150000,), (32, 16), ADAM),
    'gaitset_casiae': plain('CASIA-E', gaitset(64, 128, 256), 60000, (20000, 40000, 50000), (8, 32),
                            SGD),
    'gaitset_gait3d_parsing': plain('Gait3D-Parsing', gaitset(32, 64, 128), 180000, (30000, 90000),
                                    (32, 4), _SLOW_ADAM, **_G3P),
    'gaitpart': plain('CASIA-B', gaitpart(128, _SMALL), 120000, (100000,), (8, 16), ADAM,
                      **_ORDERED),
    'gaitpart_GREW': plain('GREW', gaitpart(256, _LARGE), 250000, (150000,), (32, 4), ADAM,
                           eval_func='GREW_submission', **_ORDERED),
    'gaitpart_OUMVLP': plain('OUMVLP', gaitpart(256, _LARGE), 250000, (150000,), (32, 16), ADAM,
                             **_ORDERED),
    'gaitpart_casiae': plain('CASIA-E', gaitpart(256, _LARGE), 120000, (100000,), (8, 32), ADAM,
                             **_ORDERED),
    'gaitpart_gait3d_parsing': plain(
        'Gait3D-Parsing', gaitpart(128, _SMALL), 180000, (30000, 90000), (32, 4), _SLOW_ADAM,
        **_ORDERED, **_G3P),
    'gln_phase1': plain('CASIA-B', gln(74, True), 40000, (10000, 20000, 30000), (8, 16), SGD,
                        **_GLN),
    'gln_phase1_gait3d_parsing': plain(
        'Gait3D-Parsing', gln(3000, True), 180000, (30000, 90000), (32, 4), _SLOW_ADAM,
        frames='fixed_ordered', **_G3P),
    'gln_phase2': plain('CASIA-B', gln(74, False), 40000, (10000, 20000, 30000), (8, 16),
                        {**SGD, 'lr': 0.01}, hint='output/GLN_P1-40000.pt', **_GLN, **_PHASE2),
    'gln_phase2_gait3d_parsing': plain(
        'Gait3D-Parsing', gln(3000, False), 180000, (30000, 90000), (32, 4), _SLOW_ADAM,
        frames='fixed_ordered', hint='output/GLN_P1-180000.pt', **_G3P, **_PHASE2),
}


def zoo_settings(name: str) -> dict:
    """The content of one of these files, as YAML gives it."""
    return settings(name, ZOO_FILES[name])


#: Files that are refused: their `model_cfg.model`.
REFUSED_FILES = {
    **dict.fromkeys((f'biggait/BigGait_{data}' for data in ('CCGR-Mini', 'CCPG', 'SUSTech1K')),
                    'BigGait__Dinov2_Gaitbase'),
    **dict.fromkeys(('biggergait/biggergait__DINOv2_CCPG',
                     'biggergait/biggergait__DINOv2_Group_CCPG'), 'BiggerGait__DINOv2'),
    **dict.fromkeys((f'denoisinggait/denoisinggait_{data}'
                     for data in ('casiab', 'ccpg', 'sustech1k')), 'DenoisingGait'),
    **dict.fromkeys((f'foundationgait/finetune_{data}' for data in (
        'CCGR-MINI-0.03B', 'ccpg_0.03B', 'ccpg_0.13B', 'gait3d_0.03B')),
        'FoundationGait_Scaling_Finetune'),
    **dict.fromkeys((f'foundationgait/{kind}_Scoliosis1K_0.13B'
                     for kind in ('finetune', 'linear_probing')),
                    'FoundationGait_Scaling_LinearProbing_Scoliosis1K'),
    **dict.fromkeys((f'foundationgait/pretrain_foundationgait_{size}'
                     for size in ('0.03B', '0.13B')), 'FoundationGait_Scaling'),
    'gaitedge/phase1_seg': 'Segmentation', 'gaitedge/phase2_e2e': 'GaitEdge',
    'gaitedge/phase2_gaitedge': 'GaitEdge',
    **dict.fromkeys((f'gaitgraph1/gaitgraph1_phase1{data}'
                     for data in ('', '_GREW', '_Gait3D', '_OUMVLP', '_OUMVLP17')), 'GaitGraph1'),
    **dict.fromkeys((f'gaitgraph2/gaitgraph2{data}' for data in (
        '', '_CCPG', '_GREW', '_Gait3D', '_OUMVLP', '_OUMVLP17', '_SUSTech1K')), 'GaitGraph2'),
    **dict.fromkeys((f'gaitssb/finetune_{data}'
                     for data in ('casiab', 'gait3d', 'grew', 'oumvlp')), 'GaitSSB_Finetune'),
    **dict.fromkeys(('gaitssb/pretrain', *(f'gaitssb/pretrain_test_on_{data}' for data in (
        'casiab', 'gait3d', 'grew', 'oumvlp'))), 'GaitSSB_Pretrain'),
    **dict.fromkeys((f'gaittr/gaittr_{data}' for data in (
        'CCPG', 'GREW', 'Gait3D', 'OUMVLP', 'OUMVLP17', 'SUSTech1K')), 'GaitTR'),
    **dict.fromkeys((f'lidargaitv2/lidargaitv2_{data}' for data in ('freegait', 'sustech1k')),
                    'LidarGaitPlusPlus'),
    **dict.fromkeys((f'msgg/msgg_{data}' for data in ('OUMVLP', 'SUSTech1K')),
                    'MultiScaleGaitGraph'),
    'parsinggait/parsinggait_gait3d_parsing': 'ParsingGait',
    'sconet/sconet_scoliosis1k': 'ScoNet',
    **dict.fromkeys(('smplgait/smplgait', 'smplgait/smplgait_gait3d_parsing'), 'SMPLGait'),
    **dict.fromkeys((f'swingait/swingait3D_{name}' for name in (
        'B1122C2_CCPG', 'B1122C2_SUSTech1K', 'B1442C2_GREW', 'B1442C2_Gait3D')), 'SwinGait'),
}
