"""Names, shapes and settings of OpenGait's other models; the table of its files."""
from __future__ import annotations

import copy
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from razor_ext.engine.config_check import check_config
from razor_ext.gait.checkpoint import CheckpointError, from_official, official_names, to_official
from razor_ext.gait.convert import REFUSED, convert_settings, write_config
from razor_ext.gait.convert.registry import ModelContext, build_model
from razor_ext.gait.convert.section import Section, SettingError

from .gait_builders import deepgaitv2, gaitpart, gaitset, gln, two_inputs
from .gait_compression import ROOT
from .official_yamls import OFFICIAL, settings_of
from .official_zoo import REFUSED_FILES, ZOO_FILES, zoo_settings

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


def p3d_shapes(name, width, c, depth):
    """A stage of pseudo-3D blocks."""
    shapes = {}
    for i in range(depth):
        block = f'{name}.{i}'
        for conv, inner in (('conv1', width), ('conv2', c)):
            shapes |= {f'{block}.{conv}.forward_block.0.weight': (c, inner, 3, 3),
                       **bn(f'{block}.{conv}.forward_block.1', c)}
        shapes |= {f'{block}.shortcut3d.weight': (c, c, 3, 1, 1), **bn(f'{block}.sbn', c)}
        if i == 0:
            shapes |= {f'{block}.downsample.0.weight': (c, width, 1, 1, 1),
                       **bn(f'{block}.downsample.1', c)}
        width = c
    return shapes


def branch_shapes(stem, layer, inputs):
    """The stem and the first stage of one input."""
    block = f'{layer}.forward_block.0'
    return {f'{stem}.forward_block.0.weight': (64, inputs, 3, 3),
            **bn(f'{stem}.forward_block.1', 64),
            f'{block}.conv1.weight': (64, 64, 3, 3), **bn(f'{block}.bn1', 64),
            f'{block}.conv2.weight': (64, 64, 3, 3), **bn(f'{block}.bn2', 64)}


def score_shapes(name, inner, outer, kernel):
    return {f'{name}.0.weight': (4, inner, 1, 1), **bn(f'{name}.1', 4),
            f'{name}.3.weight': (4, 4, kernel, kernel), **bn(f'{name}.4', 4),
            f'{name}.6.weight': (outer, 4, 1, 1)}


def strip_shapes(classes):
    return {'FCs.fc_bin': (16, 512, 256), 'BNNecks.fc_bin': (16, 256, classes),
            **bn('BNNecks.bn1d', 4096)}


def skeletongaitpp_shapes(blocks, classes):
    shapes = {**branch_shapes('sil_layer0', 'sil_layer1', 1),
              **branch_shapes('map_layer0', 'map_layer1', 2),
              **score_shapes('fusion.conv.forward_block', 128, 128, 3), **strip_shapes(classes)}
    for stage in (2, 3, 4):
        shapes |= p3d_shapes(f'layer{stage}', 2 ** (stage + 4), 2 ** (stage + 5), blocks[stage - 1])
    return shapes


def multigaitpp_shapes(inputs, blocks, classes):
    shapes = {'fusion.conv.forward_block.0.weight': (256, 768, 1, 1), **strip_shapes(classes),
              **p3d_shapes('layer4', 256, 512, blocks[3])}
    for part, size in zip((1, 2), inputs):
        shapes |= branch_shapes(f'part{part}_layer0', f'part{part}_layer1', size)
        shapes |= score_shapes(f'csquare.conv{part}.forward_block', 64, 64, 1)
    for prefix in ('part1_', 'part2_', ''):
        shapes |= p3d_shapes(f'{prefix}layer2', 64, 128, blocks[1])
        shapes |= p3d_shapes(f'{prefix}layer3', 128, 256, blocks[2])
    return shapes


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
    'skeletongaitpp': (two_inputs('SkeletonGaitPP', (2, 1), 10, blocks=(1, 4, 4, 1)),
                       skeletongaitpp_shapes((1, 4, 4, 1), 10)),
    'multigaitpp': (two_inputs('MultiGaitPP', (2, 3), 10, blocks=(1, 2, 2, 1)),
                    multigaitpp_shapes((2, 3), (1, 2, 2, 1), 10)),
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
    'skeletongaitpp': {'model': 'SkeletonGaitPP', 'SeparateBNNecks': {'class_num': 10},
                       'Backbone': {'in_channels': 3, 'blocks': [1, 4, 4, 1], 'C': 2}},
    'multigaitpp': {'model': 'MultiGaitpp', 'SeparateBNNecks': {'class_num': 10},
                    'Backbone': {'blocks': [1, 2, 2, 1], 'C': 2, 'part1_channel': 2,
                                 'part2_channel': 3}},
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
    if 'deepgaitv2' in name or name.endswith('pp') or name == 'gln-compact':
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
    ('skeletongaitpp', ('Backbone', 'in_channels'), 1, 'must be 3: two maps of joints'),
    ('skeletongaitpp', ('Backbone', 'blocks'), [1, 1], 'blocks'),
    ('multigaitpp', ('Backbone', 'C'), 1, 'must be 2: OpenGait makes'),
    ('multigaitpp', ('Backbone', 'part2_channel'), 0, 'part2_channel=0'),
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


#: One file of each kind in the regular run.
REGULAR = ('DeepGaitV2_gait3d', 'skeletongait_CCPG', 'skeletongait++_Gait3D', 'multigaitpp_grew',
           'lidargait_sustech1k', 'gaitpart_OUMVLP')


@pytest.mark.parametrize('name', [
    name if name in REGULAR else pytest.param(name, marks=pytest.mark.slow) for name in ZOO_FILES])
def test_an_official_file_becomes_a_config_that_runs(name, tmp_path):
    """It builds, takes the frames of its pipeline, and names every parameter of the checkpoint."""
    converted, facts = convert_settings(zoo_settings(name)), ZOO_FILES[name]
    write_config(converted, tmp_path / 'ours.py', ROOT / 'configs/gait/_base_')
    cfg = Config.fromfile(tmp_path / 'ours.py')
    check_config(cfg)
    channels = cfg.train_dataloader.dataset.pipeline[0].get('channels', 1)
    size = (128, 88) if 'gln' in name and 'parsing' not in name else (64, 44)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
        out = model.eval()(torch.zeros(2, channels, 6, *size))
        names = official_names(model)
    assert out.shape == (2, cfg.model.head.embed_channels, cfg.model.head.num_parts)
    assert set(names) == set(model.state_dict()) and len(set(names.values())) == len(names)
    assert cfg.train_cfg.max_iters == facts['iters']
    assert cfg.param_scheduler.milestones == list(facts['milestones'])
    frames = cfg.train_dataloader.dataset.pipeline[1]
    assert frames.get('skip', 0) == (facts.get('skip', 0) if frames.ordered else 0)
    state = {theirs: torch.zeros(model.state_dict()[key].shape) for key, theirs in names.items()}
    assert set(from_official(model, state)) == set(names)


def test_pickles_of_several_inputs():
    loader = convert_settings(zoo_settings('skeletongait++_Gait3D')).config['test_dataloader']
    assert loader['dataset']['data_in_use'] == [0, 1]
    assert loader['dataset']['pipeline'][0] == {'type': 'LoadSilhouettes', 'channels': 3}
    content = zoo_settings('skeletongait++_Gait3D')
    del content['data_cfg']['data_in_use']
    assert convert_settings(content).config['test_dataloader']['dataset']['data_in_use'] == [0, 1]
    content['data_cfg']['data_in_use'] = [True, False]
    with pytest.raises(SettingError, match='must choose 2 of the files of a sequence'):
        convert_settings(content)
    content = zoo_settings('multigaitpp_grew')
    content['trainer_cfg']['transform'][0]['trf_cfg'].append({'type': 'RandomErasing'})
    with pytest.raises(SettingError, match='for frames of 4 channels: OpenGait takes'):
        convert_settings(content)


def test_the_table_of_the_docs_names_every_official_file():
    """Each file stands in one row, and converts or is refused as the row says."""
    text = (ROOT / 'docs/gait.md').read_text(encoding='utf-8')
    section = text.split('## From OpenGait')[1].split('| setting |')[0]
    rows = [line.split('|')[1:3] for line in section.splitlines()
            if re.match(r'\| `[^|]+\| (converts?|refused) \|', line)]
    listed = [(name, verdict.strip()) for names, verdict in rows
              for name in re.findall(r'`([^`]+)`', names)]
    assert len(listed) == len(dict(listed))
    converting = {name for name, verdict in listed if verdict != 'refused'}
    assert converting == {*OFFICIAL, *ZOO_FILES}
    assert dict(listed).keys() - converting == {*REFUSED_FILES, 'gaitedge/phase1_rec'}
    for name in ZOO_FILES:
        convert_settings(zoo_settings(name))
    assert set(REFUSED_FILES.values()) == set(REFUSED)
    for model in REFUSED_FILES.values():
        with pytest.raises(SettingError, match=f"model='{model}' has no counterpart: it "):
            convert_settings({'model_cfg': {'model': model}})
    content = settings_of('gaitgl')
    content['data_cfg']['dataset_name'] = 'CASIA-B*'
    with pytest.raises(SettingError, match=r"dataset_name='CASIA-B\*' is none of"):
        convert_settings(content)
