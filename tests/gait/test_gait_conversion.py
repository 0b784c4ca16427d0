from __future__ import annotations

import copy
import os
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS

from razor_ext.gait.checkpoint import (
    CheckpointError,
    from_official,
    load_official,
    official_names,
    to_official,
)
from razor_ext.gait.opengait_config import SettingError, convert

from .gait_builders import GAITGL_OUMVLP, gaitbase, gaitgl, plain
from .gait_trees import run_tool

ROOT = Path(__file__).parents[2]


def bn(name, size):
    return {f'{name}.weight': (size,), f'{name}.bias': (size,), f'{name}.running_mean': (size,),
            f'{name}.running_var': (size,), f'{name}.num_batches_tracked': ()}


def gaitbase_shapes(classes=74):
    """The published layout, written out."""
    b = 'Backbone.forward_block'
    shapes = {f'{b}.conv1.conv.weight': (64, 1, 3, 3), **bn(f'{b}.bn1', 64)}
    width = 64
    for k, c in enumerate((64, 128, 256, 512), 1):
        layer = f'{b}.layer{k}.0'
        shapes |= {f'{layer}.conv1.weight': (c, width, 3, 3), **bn(f'{layer}.bn1', c),
                   f'{layer}.conv2.weight': (c, c, 3, 3), **bn(f'{layer}.bn2', c)}
        if k > 1:
            shapes |= {f'{layer}.downsample.0.weight': (c, width, 1, 1),
                       **bn(f'{layer}.downsample.1', c)}
        width = c
    return shapes | {'FCs.fc_bin': (16, 512, 256), 'BNNecks.fc_bin': (16, 256, classes),
                     **bn('BNNecks.bn1d', 4096)}


def plain_shapes():
    shapes, width = {}, 1
    for i, c in zip((0, 2, 5, 7, 10, 12), (64, 64, 128, 128, 256, 256)):
        k = 3 if i else 5
        shapes[f'Backbone.forward_block.feature.{i}.conv.weight'] = (c, width, k, k)
        width = c
    return shapes | {'FCs.fc_bin': (31, 256, 256), 'BNNecks.fc_bin': (31, 256, 74),
                     **bn('BNNecks.bn1d', 31 * 256)}


def gaitgl_shapes(large=False, necks=False, classes=74):
    shapes = {'conv3d.0.conv3d.weight': (32, 1, 3, 3, 3), 'LTA.0.conv3d.weight': (32, 32, 3, 1, 1),
              'HPP.p': (1,)}
    if large:
        shapes['conv3d.2.conv3d.weight'] = (32, 32, 3, 3, 3)
    width = 32
    for name, c in zip(('GLConvA0', 'GLConvA1', 'GLConvB2'),
                       (64, 128, 256) if large else (64, 128, 128)):
        for index in ('.0', '.1') if large else ('',):
            for branch in ('global', 'local'):
                shapes[f'{name}{index}.{branch}_conv3d.conv3d.weight'] = (c, width, 3, 3, 3)
            width = c
    shapes['Head0.fc_bin'] = (64, width, width)
    if necks:
        return shapes | {'BNNecks.fc_bin': (64, width, classes), **bn('BNNecks.bn1d', 64 * width)}
    return shapes | {'Head1.fc_bin': (64, width, classes), **bn('Bn', width)}


CASES = {
    'gaitbase': (gaitbase(), gaitbase_shapes()), 'plain': (plain(), plain_shapes()),
    'gaitgl': (gaitgl(), gaitgl_shapes()),
    'gaitgl-oumvlp': (gaitgl(20, **GAITGL_OUMVLP), gaitgl_shapes(True, classes=20)),
    'gaitgl-bnneck': (gaitgl(head='PartBNNeckHead'), gaitgl_shapes(necks=True)),
}


def official(shapes):
    torch.manual_seed(0)
    return {k: torch.randn(s) if s else torch.tensor(7) for k, s in shapes.items()}


@pytest.mark.parametrize('name', CASES)
def test_checkpoints_there_and_back(name):
    cfg, shapes = CASES[name]
    model, state = MODELS.build(copy.deepcopy(cfg)), official(shapes)
    ours = from_official(model, state)
    assert set(ours) == set(model.state_dict())
    model.load_state_dict(ours, strict=True)
    back = to_official(model, model.state_dict())
    assert set(back) == set(state) and all(torch.equal(back[k], state[k]) for k in state)
    assert not any(back[k].data_ptr() == state[k].data_ptr() for k in state)


def test_classifier_of_other_subjects_is_left_out():
    model = MODELS.build(gaitbase(10))
    ours = from_official(model, official(gaitbase_shapes(74)))
    assert set(model.state_dict()) - set(ours) == {'head.classifier.weight'}


@pytest.mark.parametrize('change', ['missing', 'extra', 'shape'])
def test_misfits_are_errors(change):
    state = official(plain_shapes())
    if change == 'missing':
        del state['FCs.fc_bin']
        message = r"lacks \['FCs\.fc_bin'\]"
    elif change == 'extra':
        state['Decoder.weight'] = torch.zeros(1)
        message = r"has \['Decoder\.weight'\]"
    else:
        state['FCs.fc_bin'] = torch.zeros(31, 256, 128)
        message = r'FCs\.fc_bin has shape \(31, 256, 128\)'
    with pytest.raises(CheckpointError, match=message):
        from_official(MODELS.build(plain()), state)
    with pytest.raises(CheckpointError, match='not that of the model'):
        to_official(MODELS.build(plain()), {'a': torch.zeros(1)})
    odd = gaitgl(5, (3,), ((4,), (5,)))
    with pytest.raises(CheckpointError, match='no counterpart'):
        official_names(MODELS.build(odd))


class Danger:
    def __reduce__(self):
        return os.system, ('touch ran',)


def test_official_files_are_read_safely(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = official(plain_shapes())
    path = tmp_path / 'official.pt'
    content = {'model': state, 'optimizer': {'state': {}}, 'iteration': 60000}
    if hasattr(torch.serialization, 'safe_globals'):
        content['scheduler'] = {'milestones': Counter([20000, 40000])}
    torch.save(content, path)
    assert all(torch.equal(v, state[k]) for k, v in load_official(path).items())
    for bad in ({'model': state, 'extra': Danger()}, {'weights': state}, [1]):
        torch.save(bad, path)
        with pytest.raises(CheckpointError, match=r'official\.pt'):
            load_official(path)
    path.write_bytes(b'nonsense')
    with pytest.raises(CheckpointError, match=r'official\.pt'):
        load_official(path)
    assert not (tmp_path / 'ran').exists()


def test_checkpoint_tool(tmp_path, monkeypatch):
    state = official(plain_shapes())
    torch.save({'model': state, 'iteration': 60000}, tmp_path / 'official.pt')
    config = ROOT / 'configs/gait/gaitbase/gaitbase-plain_8xb16-60k_casiab-64x44.py'

    def run(*arguments):
        run_tool(monkeypatch, 'convert_checkpoint.py', config, *arguments)

    run(tmp_path / 'official.pt', tmp_path / 'ours.pth')
    run(tmp_path / 'ours.pth', tmp_path / 'back.pt', '--to-official')
    back = load_official(tmp_path / 'back.pt')
    assert set(back) == set(state) and all(torch.equal(back[k], state[k]) for k in state)
    with pytest.raises(SystemExit, match='expected a dict with'):
        run(tmp_path / 'ours.pth', tmp_path / 'x.pth')
    torch.save({'model': official(gaitgl_shapes())}, tmp_path / 'gl.pt')
    with pytest.raises(SystemExit, match='lacks'):
        run(tmp_path / 'gl.pt', tmp_path / 'x.pth')
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'back.pt', 'gl.pt', 'official.pt', 'ours.pth']


def settings(dataset='CASIA-B', model='plain'):
    """Settings as an OpenGait user has them (structure of the seed's section 6 and its docs)."""
    models = {
        'plain': {'model': 'Baseline', 'bin_num': [16, 8, 4, 2, 1],
                  'backbone_cfg': {'type': 'Plain', 'in_channels': 1, 'layers_cfg': [
                      'BC-64', 'BC-64', 'M', 'BC-128', 'BC-128', 'M', 'BC-256', 'BC-256']},
                  'SeparateFCs': {'in_channels': 256, 'out_channels': 256, 'parts_num': 31},
                  'SeparateBNNecks': {'class_num': 74, 'in_channels': 256, 'parts_num': 31}},
        'resnet': {'model': 'Baseline', 'bin_num': [16],
                   'backbone_cfg': {'type': 'ResNet9', 'block': 'BasicBlock', 'maxpool': False,
                                    'channels': [64, 128, 256, 512], 'layers': [1, 1, 1, 1],
                                    'strides': [1, 2, 2, 1]},
                   'SeparateFCs': {'in_channels': 512, 'out_channels': 256, 'parts_num': 16},
                   'SeparateBNNecks': {'class_num': 74, 'in_channels': 256, 'parts_num': 16}},
        'gaitgl': {'model': 'GaitGL', 'channels': [32, 64, 128], 'class_num': 74},
        'gaitgl-large': {'model': 'GaitGL', 'channels': [32, 64, 128, 256], 'class_num': 5153},
    }
    cut = [{'type': 'BaseSilCuttingTransform'}]
    return {
        'data_cfg': {'dataset_name': dataset, 'dataset_root': '../data/pkl', 'num_workers': 1,
                     'dataset_partition': '../data/set.json', 'remove_no_gallery': False,
                     'test_dataset_name': dataset},
        'evaluator_cfg': {'enable_float16': True, 'restore_hint': 60000, 'save_name': 'x',
                          'sampler': {'batch_shuffle': False, 'batch_size': 4,
                                      'sample_type': 'all_ordered', 'frames_all_limit': 720,
                                      'type': 'InferenceSampler'},
                          'metric': 'cos', 'transform': cut},
        'loss_cfg': [{'loss_term_weight': 1.0, 'margin': 0.2, 'type': 'TripletLoss',
                      'log_prefix': 'triplet'},
                     {'loss_term_weight': 0.1, 'scale': 16, 'type': 'CrossEntropyLoss',
                      'log_prefix': 'softmax', 'log_accuracy': True}],
        'model_cfg': models[model],
        'optimizer_cfg': {'lr': 0.1, 'momentum': 0.9, 'solver': 'SGD', 'weight_decay': 5e-4},
        'scheduler_cfg': {'gamma': 0.1, 'milestones': [20000, 40000], 'scheduler': 'MultiStepLR'},
        'trainer_cfg': {
            'enable_float16': False, 'fix_BN': False, 'log_iter': 100, 'save_iter': 10000,
            'sync_BN': True, 'total_iter': 60000, 'with_test': False,
            'sampler': {'batch_shuffle': True, 'batch_size': [8, 16], 'frames_num_fixed': 30,
                        'frames_num_max': 50, 'frames_num_min': 25,
                        'sample_type': 'fixed_unordered', 'type': 'TripletSampler'},
            'transform': [{'type': 'Compose', 'trf_cfg': [
                *cut, {'type': 'RandomRotate', 'prob': 0.3}]}]}}


@pytest.mark.parametrize(('dataset', 'model', 'millions'), [
    ('CASIA-B', 'plain', 3.779), ('CASIA-B', 'resnet', 7.305), ('CASIA-B', 'gaitgl', 3.097),
    ('OUMVLP', 'gaitgl-large', 95.62)])
def test_yaml_becomes_a_config(tmp_path, monkeypatch, dataset, model, millions):
    source = tmp_path / 'opengait.yaml'
    source.write_text(yaml.safe_dump(settings(dataset, model)))
    target = tmp_path / 'deep' / 'ours.py'
    run_tool(monkeypatch, 'convert_config.py', source, target)
    cfg = Config.fromfile(target)
    with torch.device('meta'):
        built = MODELS.build(cfg.model)
    count = sum(p.numel() for p in built.parameters()) / 1e6
    assert round(count, 2 if millions > 50 else 3) == millions
    loader = cfg.train_dataloader
    assert (loader.batch_size, loader.batch_sampler.subjects) == (128, 8)
    assert loader.dataset.ann_file == '../data/set.json'
    assert [t['type'] for t in loader.dataset.pipeline] == [
        'LoadSilhouettes', 'SampleFrames', 'CropSides', 'RotateSequence', 'PackGaitInputs']
    assert loader.dataset.pipeline[1]['num_frames'] == 30
    assert cfg.train_cfg.max_iters == 60000 and cfg.param_scheduler.milestones == [20000, 40000]
    assert cfg.test_evaluator.distance == 'cosine' and cfg.sync_bn == 'torch'
    assert cfg.model.head.loss_cls.loss_weight == 0.1


@pytest.mark.parametrize(('path', 'value', 'message'), [
    (('data_cfg', 'dataset_name'), 'HID', "'HID' is none of"),
    (('model_cfg', 'model'), 'GaitBaseGeta', "'GaitBaseGeta' is none of"),
    (('model_cfg', 'extra_cfg'), 1, r"without a counterpart: \['extra_cfg'\]"),
    (('geta_optimizer_cfg',), {}, r"without a counterpart: \['geta_optimizer_cfg'\]"),
    (('trainer_cfg', 'fix_BN'), True, 'fix_BN'),
    (('trainer_cfg', 'sampler', 'sample_type'), 'fixed_random', 'fixed_random'),
    (('trainer_cfg', 'transform'), [{'type': 'Blur'}], "transform 'Blur'"),
    (('optimizer_cfg', 'solver'), 'Lion', 'Lion'),
    (('scheduler_cfg', 'scheduler'), 'Cosine', 'Cosine'),
    (('loss_cfg',), [{'type': 'FocalLoss'}], 'FocalLoss'),
    (('evaluator_cfg', 'metric'), 'emd', 'emd'),
    (('data_cfg',), 3, 'must be a mapping'),
])
def test_yaml_settings_without_a_counterpart(path, value, message):
    content = copy.deepcopy(settings())
    target = content
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(SettingError, match=message):
        convert(content)


@pytest.mark.parametrize('key', ['model_cfg', 'optimizer_cfg', 'trainer_cfg', 'loss_cfg'])
def test_missing_yaml_sections_are_named(key):
    content = settings()
    del content[key]
    with pytest.raises(SettingError, match=re.escape(f'settings.{key} is missing')):
        convert(content)
