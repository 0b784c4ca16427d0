"""Names, shapes and settings of OpenGait's DeepGaitV2, GaitSet, GaitPart and GLN."""
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from razor_ext.engine.config_check import check_config
from razor_ext.gait.checkpoint import CheckpointError, from_official, official_names, to_official
from razor_ext.gait.convert import convert_settings, write_config
from razor_ext.gait.convert.registry import ModelContext, build_model
from razor_ext.gait.convert.section import Section, SettingError

from .gait_builders import deepgaitv2, gaitpart, gaitset, gln
from .gait_compression import ROOT
from .official_yamls import settings_of

BINS = [16, 8, 4, 2, 1]


def bn(name, size):
    return {f'{name}.weight': (size,), f'{name}.bias': (size,), f'{name}.running_mean': (size,),
            f'{name}.running_var': (size,), f'{name}.num_batches_tracked': ()}


def deepgaitv2_shapes(mode, blocks, classes):
    """The published layout, written out."""
    shapes = {'layer0.forward_block.0.weight': (64, 1, 3, 3), **bn('layer0.forward_block.1', 64)}
    width = 64
    for stage, (c, depth) in enumerate(zip((64, 128, 256, 512), blocks), 1):
        for i in range(depth):
            frames = stage == 1 or mode == '2d'
            name = f'layer{stage}.forward_block.{i}' if frames else f'layer{stage}.{i}'
            kernel = (3, 3, 3) if mode == '3d' and not frames else (3, 3)
            if mode == 'p3d' and not frames:
                for conv, inner in (('conv1', width), ('conv2', c)):
                    shapes |= {f'{name}.{conv}.forward_block.0.weight': (c, inner, 3, 3),
                               **bn(f'{name}.{conv}.forward_block.1', c)}
                shapes |= {f'{name}.shortcut3d.weight': (c, c, 3, 1, 1), **bn(f'{name}.sbn', c)}
            else:
                shapes |= {f'{name}.conv1.weight': (c, width, *kernel), **bn(f'{name}.bn1', c),
                           f'{name}.conv2.weight': (c, c, *kernel), **bn(f'{name}.bn2', c)}
            if width != c:
                shapes |= {f'{name}.downsample.0.weight': (c, width, *[1] * (2 if frames else 3)),
                           **bn(f'{name}.downsample.1', c)}
            width = c
    return shapes | {'FCs.fc_bin': (16, 512, 256), 'BNNecks.fc_bin': (16, 256, classes),
                     **bn('BNNecks.bn1d', 4096)}


def stage_shapes(name, inner, outer, kernel=3):
    return {f'{name}.0.conv.weight': (outer, inner, kernel, kernel),
            f'{name}.2.conv.weight': (outer, outer, 3, 3)}


def gaitset_shapes(widths=(32, 64, 128)):
    a, b, c = widths
    return {**stage_shapes('set_block1.forward_block', 1, a, 5),
            **stage_shapes('set_block2.forward_block', a, b),
            **stage_shapes('set_block3.forward_block', b, c),
            **stage_shapes('gl_block2', a, b), **stage_shapes('gl_block3', b, c),
            'Head.fc_bin': (62, c, 256)}


def gaitpart_shapes(convolutions, embed):
    shapes, width, kernel = {}, 1, 5
    for index, c in convolutions.items():
        shapes[f'Backbone.forward_block.feature.{index}.conv.weight'] = (c, width, kernel, kernel)
        width, kernel = c, 3
    for part in range(16):
        for name, last in (('conv1d3x1', 1), ('conv1d3x3', 3)):
            prefix = f'TFA.pooling_func.{name}.{part}'
            shapes |= {f'{prefix}.0.conv.weight': (width // 4, width, 3),
                       f'{prefix}.2.conv.weight': (width, width // 4, last)}
    return shapes | {'Head.fc_bin': (16, width, embed)}


def gln_shapes(compact):
    shapes = {**stage_shapes('sil_stage_0.forward_block', 1, 32, 5),
              **stage_shapes('sil_stage_1.forward_block', 32, 64),
              **stage_shapes('sil_stage_2.forward_block', 64, 128),
              **stage_shapes('set_stage_1', 32, 64), **stage_shapes('set_stage_2', 64, 128),
              'Head.fc_bin': (93, 256, 256)}
    for i, width in enumerate((64, 128, 256), 1):
        shapes |= {f'lateral_layer{i}.weight': (256, width, 1, 1),
                   f'smooth_layer{i}.weight': (256, 256, 3, 3)}
    if compact:
        shapes |= {**bn('encoder_bn', 256 * 93), 'reduce_fc.weight': (256, 256 * 93),
                   **bn('reduce_bn', 256), 'reduce_cls.weight': (74, 256)}
    return shapes


SMALL_PART = {0: 32, 2: 32, 5: 64, 7: 64, 10: 128, 12: 128}
LARGE_PART = {**SMALL_PART, 14: 256, 16: 256}
LARGE_STAGES = ((32, 32), (64, 64), (128, 128, 256, 256))
CASES = {
    'deepgaitv2-2d': (deepgaitv2(74, '2d'), deepgaitv2_shapes('2d', (1, 1, 1, 1), 74)),
    'deepgaitv2-p3d': (deepgaitv2(74), deepgaitv2_shapes('p3d', (1, 1, 1, 1), 74)),
    'deepgaitv2-p3d-deep': (deepgaitv2(10, blocks=(1, 4, 4, 1)),
                            deepgaitv2_shapes('p3d', (1, 4, 4, 1), 10)),
    'deepgaitv2-3d': (deepgaitv2(74, '3d'), deepgaitv2_shapes('3d', (1, 1, 1, 1), 74)),
    'gaitset': (gaitset(), gaitset_shapes()),
    'gaitset-oumvlp': (gaitset((64, 128, 256)), gaitset_shapes((64, 128, 256))),
    'gaitpart': (gaitpart(), gaitpart_shapes(SMALL_PART, 128)),
    'gaitpart-oumvlp': (gaitpart(LARGE_STAGES, (1, 1, 8), 256), gaitpart_shapes(LARGE_PART, 256)),
    'gln': (gln(), gln_shapes(False)), 'gln-compact': (gln(74), gln_shapes(True)),
}


@pytest.mark.parametrize('name', CASES)
def test_checkpoints_there_and_back(name):
    cfg, shapes = CASES[name]
    model = MODELS.build(copy.deepcopy(cfg))
    state = {k: torch.rand(s) if s else torch.tensor(7) for k, s in shapes.items()}
    model.load_state_dict(from_official(model, state), strict=True)
    back = to_official(model, model.state_dict())
    assert set(back) == set(state) and all(torch.equal(back[k], state[k]) for k in state)


def test_a_classifier_of_other_subjects_is_left_out():
    state = {k: torch.rand(s) if s else torch.tensor(7) for k, s in gln_shapes(True).items()}
    model = MODELS.build(gln(10))
    assert set(model.state_dict()) - set(from_official(model, state)) == {'head.classifier.weight'}
    with pytest.raises(CheckpointError, match=r'reduce_cls\.weight has shape \(74, 255\)'):
        from_official(model, {**state, 'reduce_cls.weight': torch.rand(74, 255)})


def test_misfits_are_errors():
    model = MODELS.build(gaitset((4, 6, 8), 7))
    with pytest.raises(CheckpointError, match=r"lacks \['Head\.fc_bin', 'gl_block2\.0"):
        from_official(model, {'Backbone.forward_block.feature.0.conv.weight': torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r'FC_bin|Head\.fc_bin has shape \(62, 8, 9\)'):
        state = to_official(model, model.state_dict())
        from_official(model, {**state, 'Head.fc_bin': torch.zeros(62, 8, 9)})
    names = official_names(MODELS.build(gaitpart()))
    assert len(set(names.values())) == len(names)


TRIPLET = {'type': 'PartTripletLoss', 'margin': 0.2}
CLS = {'type': 'PartCrossEntropyLoss', 'scale': 16, 'label_smoothing': 0.1}


def fcs(inner, outer, parts):
    return {'in_channels': inner, 'out_channels': outer, 'parts_num': parts}


def deep_settings(mode, layers, classes):
    return {'model': 'DeepGaitV2', 'SeparateBNNecks': {'class_num': classes},
            'Backbone': {'mode': mode, 'in_channels': 1, 'layers': list(layers),
                         'channels': [64, 128, 256, 512]}}


def gln_settings(pretraining):
    return {'model': 'GLN', 'class_num': 74, 'lateral_dim': 256, 'hidden_dim': 256, 'dropout': 0.9,
            'in_channels': [1, 32, 64, 128], 'SeparateFCs': fcs(256, 256, 93), 'bin_num': BINS,
            'Lateral_pretraining': pretraining}


SMALL_LAYERS = ['BC-32', 'BC-32', 'M', 'FC-64-2', 'FC-64-2', 'M', 'FC-128-3', 'FC-128-3']
LARGE_LAYERS = ['BC-32', 'BC-32', 'M', 'BC-64', 'BC-64', 'M', 'FC-128-3', 'FC-128-3', 'FC-256-3',
                'FC-256-3']
SETTINGS = {
    'deepgaitv2-2d': deep_settings('2d', (1, 1, 1, 1), 74),
    'deepgaitv2-p3d': deep_settings('p3d', (1, 1, 1, 1), 74),
    'deepgaitv2-p3d-deep': deep_settings('p3d', (1, 4, 4, 1), 10),
    'deepgaitv2-3d': deep_settings('3d', (1, 1, 1, 1), 74),
    'gaitset': {'model': 'GaitSet', 'in_channels': [1, 32, 64, 128],
                'SeparateFCs': fcs(128, 256, 62), 'bin_num': BINS},
    'gaitset-oumvlp': {'model': 'GaitSet', 'in_channels': [1, 64, 128, 256],
                       'SeparateFCs': fcs(256, 256, 62), 'bin_num': BINS},
    'gaitpart': {'model': 'GaitPart', 'SeparateFCs': fcs(128, 128, 16), 'bin_num': [16],
                 'backbone_cfg': {'type': 'Plain', 'in_channels': 1, 'layers_cfg': SMALL_LAYERS}},
    'gaitpart-oumvlp': {
        'model': 'GaitPart', 'SeparateFCs': fcs(256, 256, 16), 'bin_num': [16],
        'backbone_cfg': {'type': 'Plain', 'in_channels': 1, 'layers_cfg': LARGE_LAYERS}},
    'gln': gln_settings(True), 'gln-compact': gln_settings(False),
}


def convert(settings, **losses):
    settings = copy.deepcopy(settings)
    return build_model(Section(settings, 'model_cfg'),
                       ModelContext('CASIA-B', losses or {'triplet': TRIPLET}))


@pytest.mark.parametrize('name', SETTINGS)
def test_settings_become_the_published_model(name):
    losses = {'triplet': TRIPLET}
    if 'deepgaitv2' in name or name == 'gln-compact':
        losses['softmax'] = CLS
    with torch.device('meta'):
        model = MODELS.build(convert(SETTINGS[name], **losses))
        names = official_names(model)
    shapes = {names[key]: tuple(value.shape) for key, value in model.state_dict().items()}
    assert shapes == CASES[name][1]
    assert (model.head.loss_cls is not None) == ('softmax' in losses)


@pytest.mark.parametrize('name', ['deepgaitv2-p3d', 'gaitset', 'gaitpart', 'gln', 'gln-compact'])
def test_a_whole_file_becomes_a_config(name, tmp_path):
    content = settings_of('gaitbase_da_gait3d')
    content['model_cfg'] = copy.deepcopy(SETTINGS[name])
    if SETTINGS[name]['model'] in ('GaitSet', 'GaitPart') or name == 'gln':
        content['loss_cfg'] = content['loss_cfg'][:1]
    content['trainer_cfg']['sampler'].update(sample_type='fixed_ordered', frames_skip_num=4)
    write_config(convert_settings(content), tmp_path / 'ours.py', ROOT / 'configs/gait/_base_')
    cfg = Config.fromfile(tmp_path / 'ours.py')
    check_config(cfg)
    frames = cfg.train_dataloader.dataset.pipeline[1]
    assert (frames.mode, frames.ordered, frames.num_frames, frames.skip) == ('fixed', True, 30, 4)
    with torch.device('meta'):
        names = official_names(MODELS.build(cfg.model))
    assert set(names.values()) == set(CASES[name][1])


@pytest.mark.parametrize(('name', 'path', 'value', 'message'), [
    ('deepgaitv2-2d', ('Backbone', 'mode'), '4d', "'4d'"),
    ('deepgaitv2-2d', ('Backbone', 'in_channels'), 2, 'SkeletonGait reads maps'),
    ('deepgaitv2-2d', ('use_emb2',), True, 'use_emb2'),
    ('deepgaitv2-2d', ('Backbone', 'depth'), 3, 'depth'),
    ('gaitset', ('SeparateFCs', 'parts_num'), 31, 'must be 62'),
    ('gaitset', ('SeparateFCs', 'norm'), True, 'norm'),
    ('gaitset', ('in_channels',), [1, 32], 'in_channels'),
    ('gaitpart', ('backbone_cfg', 'layers_cfg', 3), 'FC-64', "'FC-64'"),
    ('gaitpart', ('backbone_cfg', 'layers_cfg', 3), 'BC-64', 'of one kind'),
    ('gaitpart', ('backbone_cfg', 'layers_cfg', 0), 'FC-32-1', 'of one kind'),
    ('gln', ('bin_num',), [16], 'OpenGait pools by no other'),
    ('gln-compact', ('SeparateFCs', 'out_channels'), 128, 'must be 256'),
])
def test_settings_without_a_counterpart(name, path, value, message):
    settings = copy.deepcopy(SETTINGS[name])
    target = settings
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(SettingError, match=message):
        convert(settings)


def test_a_loss_of_a_classifier_that_is_not_there():
    with pytest.raises(SettingError, match='has no classifier'):
        convert(SETTINGS['gaitset'], triplet=TRIPLET, softmax=CLS)
