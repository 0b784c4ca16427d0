"""OpenGait's settings become a config of ours: every official file, every default, every key."""
from __future__ import annotations

import ast
import copy
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, MODELS, OPTIMIZERS, PARAM_SCHEDULERS, TRANSFORMS

from razor_ext.engine.config_check import check_config
from razor_ext.gait.checkpoint import from_official, official_names
from razor_ext.gait.convert import SettingError, convert_settings, write_config

from .gait_builders import build
from .gait_trees import run_tool
from .official_yamls import OFFICIAL, settings_of

BASES = Path(__file__).parents[2] / 'configs' / 'gait' / '_base_'
#: Parameters in millions, as published and as users log them.
MILLIONS = {'gaitbase_da_casiab': 7.305, 'gaitbase_oumvlp': 28.109, 'gaitbase_da_gait3d': 19.290,
            'gaitbase_da_grew': 88.922, 'baseline': 3.779, 'gaitgl': 3.097,
            'gaitgl_OUMVLP': 95.620, 'gaitgl_GREW': 338.874}


def converted(content, folder, name='ours'):
    path = folder / f'{name}.py'
    write_config(convert_settings(content), path, BASES)
    return Config.fromfile(path)


def changed(*changes, base='gaitbase_da_casiab'):
    """Settings with (path, value) changed; the value None leaves a key out."""
    content = settings_of(base)
    for path, value in changes:
        *parents, last = path.split('.')
        target = content
        for key in parents:
            target = target[key]
        target.pop(last, None)
        if value is not None:
            target[last] = value
    return content


@pytest.mark.parametrize('name', OFFICIAL)
def test_official_file_becomes_a_whole_config(name, tmp_path):
    cfg, facts = converted(settings_of(name), tmp_path), OFFICIAL[name]
    check_config(cfg)
    size = (128, 88) if facts['dataset'] == 'HID' else (64, 44)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
        out = model.eval()(torch.zeros(2, 1, 6, *size))
    assert out.shape == (2, cfg.model.head.embed_channels, cfg.model.head.num_parts)
    if name in MILLIONS:
        assert round(sum(p.numel() for p in model.parameters()) / 1e6, 3) == MILLIONS[name]
    assert set(official_names(model)) == set(model.state_dict())
    loader = cfg.train_dataloader
    people, sequences = facts['batch']
    assert (loader.batch_size, loader.batch_sampler.subjects) == (people * sequences, people)
    assert loader.batch_sampler.shuffle
    assert cfg.train_cfg.max_iters == facts['iters']
    assert cfg.param_scheduler.milestones == list(facts['milestones'])
    assert cfg.test_dataloader.dataset.pipeline[1].limit == facts.get('limit', 720)
    for part in (loader, cfg.val_dataloader, cfg.test_dataloader):
        assert part.dataset.type in DATASETS
        for step in part.dataset.pipeline:
            TRANSFORMS.build(step)
    METRICS.build(cfg.val_evaluator)
    METRICS.build(cfg.test_evaluator)


@pytest.mark.parametrize('name', ['gaitbase_da_casiab', 'baseline', 'gaitgl'])
def test_official_checkpoint_gives_its_embedding(name, tmp_path):
    """The renamed weights of a converted config give what the shipped config's model gives."""
    shipped = {'gaitbase_da_casiab': 'gaitbase/gaitbase_8xb16-60k_casiab-64x44.py',
               'baseline': 'gaitbase/gaitbase-plain_8xb16-60k_casiab-64x44.py',
               'gaitgl': 'gaitgl/gaitgl_8xb8-80k_casiab-64x44.py'}[name]
    reference = build(Config.fromfile(BASES.parent / shipped).model)
    state = reference.state_dict()
    official = {theirs: state[ours] for ours, theirs in official_names(reference).items()}
    model = MODELS.build(converted(settings_of(name), tmp_path).model).eval()
    model.load_state_dict(from_official(model, official), strict=True)
    x = torch.rand(2, 1, 4, 64, 44)
    with torch.no_grad():
        assert torch.equal(model(x), reference(x))


def test_the_tool_writes_literals_only(tmp_path, monkeypatch, capsys):
    source, target = tmp_path / 'opengait.yaml', tmp_path / 'deep' / 'ours.py'
    source.write_text(yaml.safe_dump(settings_of('baseline')))
    run_tool(monkeypatch, 'convert_config.py', source, target)
    assert capsys.readouterr().out == f'{target}\n'
    statements = ast.parse(target.read_text()).body
    for statement in statements[1:]:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)
    cfg = Config.fromfile(target)
    assert cfg.train_dataloader.dataset.ann_file == 'data/CASIA-B.json'
    assert cfg.model.head.loss_cls.loss_weight == 0.1
    with pytest.raises(SystemExit, match=r'a config is a file NAME\.py'):
        run_tool(monkeypatch, 'convert_config.py', source, tmp_path / 'ours.yaml')


def test_what_a_file_leaves_out_is_opengaits(tmp_path):
    content = {'data_cfg': {'dataset_name': 'OUMVLP', 'dataset_root': 'r',
                            'dataset_partition': 'p.json', 'test_dataset_name': 'OUMVLP'},
               'model_cfg': settings_of('baseline')['model_cfg']}
    cfg = converted(content, tmp_path)
    assert cfg.optim_wrapper.optimizer == {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9,
                                           'weight_decay': 5e-4}
    assert cfg.param_scheduler.milestones == [20000, 40000, 60000]
    assert cfg.train_cfg.max_iters == cfg.train_cfg.val_interval == 80000
    assert cfg.default_hooks.checkpoint.interval == 2000
    assert cfg.sync_bn is None and cfg.train_dataloader.batch_size == 128
    assert [s['type'] for s in cfg.train_dataloader.dataset.pipeline] == [
        'LoadSilhouettes', 'SampleFrames', 'CropSides', 'PackGaitInputs']
    assert cfg.test_dataloader.dataset.pipeline[1].limit is None
    assert cfg.test_evaluator == {'type': 'OUMVLPMetric', 'protocols': ['single_view'],
                                  'distance': 'euclidean'}
    assert 'loss_cls' not in cfg.model.head
    assert 'schedules/half_precision.py' in convert_settings(content).bases


def test_settings_are_translated(tmp_path):
    cfg = converted(changed(
        ('trainer_cfg.enable_float16', False), ('trainer_cfg.find_unused_parameters', True),
        ('trainer_cfg.with_test', True), ('trainer_cfg.save_iter', 500),
        ('trainer_cfg.log_iter', 7), ('data_cfg.num_workers', 0), ('data_cfg.data_in_use', [2]),
        ('evaluator_cfg.sampler.frames_all_limit', -1), ('evaluator_cfg.cross_view_gallery', True),
        ('evaluator_cfg.metric', 'cos'), ('trainer_cfg.sampler.batch_shuffle', False),
        ('optimizer_cfg', {'solver': 'AdamW', 'lr': 3e-4, 'weight_decay': 0.02, 'momentum': 0.9,
                           'betas': [0.9, 0.98]}),
        ('trainer_cfg.transform', [{'type': 'Compose', 'trf_cfg': [
            {'type': 'RandomPerspective'}, {'type': 'BaseSilCuttingTransform', 'cutting': 4},
            {'type': 'RandomHorizontalFlip'}, {'type': 'RandomRotate', 'degree': 5},
            {'type': 'RandomErasing', 'sl': 0.1, 'per_frame': True}]}])), tmp_path)
    assert cfg.optim_wrapper.type == 'OptimWrapper' and cfg.find_unused_parameters
    assert cfg.train_cfg.val_interval == cfg.default_hooks.checkpoint.interval == 500
    assert cfg.default_hooks.logger.interval == 7
    assert cfg.train_dataloader.num_workers == 0 and not cfg.train_dataloader.persistent_workers
    assert cfg.test_dataloader.dataset.data_in_use == 2
    assert cfg.test_dataloader.dataset.pipeline[1].limit is None
    assert cfg.test_evaluator == {'type': 'CASIABMetric', 'protocols': ['cross_view'],
                                  'distance': 'cosine'}
    assert not cfg.train_dataloader.batch_sampler.shuffle
    assert cfg.optim_wrapper.optimizer == {'type': 'AdamW', 'lr': 3e-4, 'weight_decay': 0.02,
                                           'betas': [0.9, 0.98]}
    steps = cfg.train_dataloader.dataset.pipeline[2:-1]
    assert all(s.get('style', 'opengait') == 'opengait' for s in steps)
    assert [(s['type'], s.get('prob')) for s in steps] == [
        ('PerspectiveSequence', 0.5), ('CropSides', None), ('FlipSequence', 0.5),
        ('RotateSequence', 0.5), ('EraseSequence', 0.5)]
    assert steps[1].cut == 4 and steps[3].degrees == 5
    assert (steps[4].area, steps[4].per_frame) == ([0.1, 0.2], True)


def test_labels_of_body_parts_are_not_scaled():
    model = convert_settings(settings_of('gaitbase_gait3d_parsing_btz32x2_fixed')).config['model']
    preprocess = MODELS.build(model['data_preprocessor'])
    parts = torch.randint(0, 12, (1, 3, 4, 4), dtype=torch.uint8)
    silhouettes = torch.randint(0, 2, (1, 3, 4, 4), dtype=torch.uint8) * 255
    out = preprocess({'inputs': [parts, silhouettes]})['inputs']
    assert torch.equal(out[0], parts.float())
    assert torch.equal(out[1], (silhouettes > 0).float())


def test_backbones_with_other_layers(tmp_path):
    resnet = changed(('model_cfg.backbone_cfg.maxpool', None),
                     ('model_cfg.backbone_cfg.layers', [1, 1, 1, 0]),
                     ('model_cfg.SeparateFCs.in_channels', 256), ('model_cfg.bin_num', [8]),
                     ('model_cfg.SeparateFCs.parts_num', 8),
                     ('model_cfg.SeparateBNNecks.parts_num', 8))
    model = MODELS.build(converted(resnet, tmp_path, 'resnet').model).eval()
    assert model.backbone(torch.rand(1, 1, 2, 64, 44)).shape == (1, 256, 2, 8, 6)
    assert not any('layer4' in key for key in model.state_dict())
    assert official_names(model)['backbone.layer3.0.conv1.weight'] == \
        'Backbone.forward_block.layer3.0.conv1.weight'
    plain = changed(('model_cfg.backbone_cfg.layers_cfg', ['BC-4', 'BC-8', 'BC-8', 'M', 'BC-6']),
                    ('model_cfg.SeparateFCs.in_channels', 6), base='baseline')
    model = MODELS.build(converted(plain, tmp_path, 'plain').model)
    assert [m.kernel_size[0] for m in model.backbone.feature
            if isinstance(m, torch.nn.Conv2d)] == [5, 3, 3, 3]
    # OpenGait counts every layer, activations and pooling too
    assert official_names(model)['backbone.feature.7.weight'] == \
        'Backbone.forward_block.feature.7.conv.weight'


@pytest.mark.parametrize(('settings', 'reference', 'steps'), [
    ({'scheduler': 'StepLR', 'step_size': 3, 'gamma': 0.5}, torch.optim.lr_scheduler.StepLR, 9),
    ({'scheduler': 'ExponentialLR', 'gamma': 0.9}, torch.optim.lr_scheduler.ExponentialLR, 5),
    ({'scheduler': 'CosineAnnealingLR', 'T_max': 8, 'eta_min': 0.01},
     torch.optim.lr_scheduler.CosineAnnealingLR, 8),
    ({'scheduler': 'OneCycleLR', 'max_lr': 0.3, 'total_steps': 12, 'cycle_momentum': False},
     torch.optim.lr_scheduler.OneCycleLR, 11),
    ({'scheduler': 'MultiStepLR', 'milestones': [2, 5], 'gamma': 0.1},
     torch.optim.lr_scheduler.MultiStepLR, 8)])
def test_schedules_follow_torch(settings, reference, steps):
    config = convert_settings(changed(('scheduler_cfg', settings))).config
    rates = []
    for build_scheduler in (
            lambda o: PARAM_SCHEDULERS.build({**config['param_scheduler'], 'optimizer': o}),
            lambda o: reference(o, **{k: v for k, v in settings.items() if k != 'scheduler'})):
        optimizer = OPTIMIZERS.build({**config['optim_wrapper']['optimizer'],
                                      'params': [torch.nn.Parameter(torch.zeros(1))]})
        scheduler, rate = build_scheduler(optimizer), []
        for _ in range(steps):
            rate.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            scheduler.step()
        rates.append(rate)
    assert rates[0] == pytest.approx(rates[1], rel=1e-9)


@pytest.mark.parametrize(('dataset', 'judged', 'function', 'metric'), [
    ('CASIA-B', 'CASIA-B', None, 'CASIABMetric'), ('CASIA-E', 'CASIA-E', None, 'CASIAEMetric'),
    ('OUMVLP', 'OUMVLP', None, 'OUMVLPMetric'), ('CASIA-B', 'OUMVLP', None, 'OUMVLPMetric'),
    ('SUSTech1K', 'SUSTech1K', None, 'SUSTech1KMetric'), ('CCPG', 'CCPG', 'CCPG', 'CCPGMetric'),
    ('CCGR-MINI', 'CCGR-MINI', 'CCGR_MINI', 'CCGRMiniMetric'),
    ('Gait3D', 'Gait3D', 'Gait3D', 'Gait3DMetric'),
    ('Gait3D-Parsing', 'Gait3D-Parsing', 'Gait3D', 'Gait3DMetric')])
def test_every_data_set_and_protocol(dataset, judged, function, metric, tmp_path):
    cfg = converted(changed(
        ('data_cfg.dataset_name', dataset), ('data_cfg.test_dataset_name', judged),
        ('evaluator_cfg.eval_func', function and f'evaluate_{function}')), tmp_path)
    assert cfg.test_dataloader.dataset.type in DATASETS
    assert cfg.train_dataloader.dataset.split == 'train'
    assert cfg.test_dataloader.dataset.test_mode and cfg.test_dataloader.dataset.split == 'test'
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert type(METRICS.build(evaluator)).__name__ == metric == evaluator.type


def test_weights_start_as_opengaits():
    model = MODELS.build(convert_settings(settings_of('baseline')).config['model'])
    model.init_weights()
    weight, bias = model.head.bn.weight, model.head.bn.bias
    assert abs(float(weight.std()) - 0.02) < 0.002 and abs(float(weight.mean()) - 1) < 0.002
    assert not bias.any()


def test_training_from_an_official_checkpoint():
    hint = ('trainer_cfg.restore_hint', 'output/GLN-40000.pt')
    result = convert_settings(changed(hint))
    assert result.config['load_from'] == 'output/GLN-40000.pth'
    assert 'convert_checkpoint.py' in result.notes[0] and 'start anew' in result.notes[1]
    result = convert_settings(changed(hint, ('trainer_cfg.optimizer_reset', True),
                                      ('trainer_cfg.scheduler_reset', True)))
    assert len(result.notes) == 1
    result = convert_settings(changed(('trainer_cfg.restore_hint', 40000)))
    assert 'load_from' not in result.config and '40000 goes on with a run' in result.notes[0]
    note, = convert_settings(changed(('data_cfg.dataset_root', 'your_path'))).notes
    assert 'dataset_root is your_path' in note


def test_common_sampler(tmp_path):
    cfg = converted(changed(('trainer_cfg.sampler.type', 'CommonSampler'),
                            ('trainer_cfg.sampler.batch_size', 24)), tmp_path)
    assert cfg.train_dataloader.batch_size == 24
    assert cfg.train_dataloader.batch_sampler == {'type': 'RandomBatchSampler'}


@pytest.mark.parametrize(('path', 'value', 'message'), [
    ('data_cfg.dataset_name', 'FreeGait', "dataset_name='FreeGait' is none of"),
    ('data_cfg.test_dataset_name', 'Gait3D', "not for data_cfg.test_dataset_name='Gait3D'"),
    ('data_cfg.data_in_use', [True, True], 'must choose 1 of the files'),
    ('data_cfg.data_in_use', [True, 1], r'data_in_use=\[True, 1\]'),
    ('data_cfg.self_supervised', True, r"counterpart: \['self_supervised'\]"),
    ('model_cfg.model', 'GaitBaseGeta', "'GaitBaseGeta' is none of"),
    ('model_cfg.model', 'SwinGait', "'SwinGait' has no counterpart: it attends in windows"),
    ('model_cfg.extra_cfg', 1, r"without a counterpart: \['extra_cfg'\]"),
    ('model_cfg.backbone_cfg.block', 'Bottleneck', 'only BasicBlock'),
    ('model_cfg.SeparateFCs.in_channels', 256, 'SeparateFCs.in_channels=256 does not fit'),
    ('model_cfg.SeparateBNNecks.parts_num', 31, 'parts_num=31 does not fit 16'),
    ('model_cfg.SeparateBNNecks.class_num', 0, 'class_num=0 must be a whole number'),
    ('geta_optimizer_cfg', {}, r"without a counterpart: \['geta_optimizer_cfg'\]"),
    ('trainer_cfg.fix_BN', True, 'fix_BN=True has no counterpart'),
    ('trainer_cfg.fix_BN', 'yes', 'must be true or false'),
    ('trainer_cfg.sampler.type', 'BilateralSampler', 'gives every sequence twice'),
    ('trainer_cfg.sampler.type', 'InferenceSampler', 'cannot train'),
    ('trainer_cfg.sampler.sample_type', 'fixed_random', 'fixed_random'),
    ('trainer_cfg.sampler.batch_size', [8], 'must be a list of 2 whole numbers'),
    ('trainer_cfg.sampler.frames_num_fixed', 0, 'frames_num_fixed=0'),
    ('trainer_cfg.sampler.points_in_use', {}, 'points_in_use'),
    ('trainer_cfg.transform', [{'type': 'Blur'}], "type='Blur' is none of"),
    ('trainer_cfg.transform', [{'type': 'BaseSilCuttingTransform'}] * 2, 'is for 2 inputs'),
    ('trainer_cfg.transform', [{'type': 'BaseSilCuttingTransform', 'divsor': 1.}],
     'scales the pixels otherwise'),
    ('optimizer_cfg.solver', 'Lion', 'Lion'),
    ('optimizer_cfg.lr', '1e-4', 'write 1.0e-4'),
    ('optimizer_cfg.fused', True, 'fused'),
    ('scheduler_cfg.scheduler', 'Cosine', 'Cosine'),
    ('scheduler_cfg', {'scheduler': 'OneCycleLR', 'max_lr': 1., 'total_steps': 5},
     'cycle_momentum=None has no counterpart'),
    ('loss_cfg', [{'type': 'FocalLoss', 'log_prefix': 'x'}], 'FocalLoss'),
    ('loss_cfg', [{'type': 'TripletLoss', 'margin': 0.2, 'log_prefix': 'gait'}],
     r"nothing under log_prefix \['gait'\]"),
    ('evaluator_cfg.metric', 'emd', 'emd'),
    ('evaluator_cfg.eval_func', 'GREW_submission', 'is for GREW'),
    ('evaluator_cfg.eval_func', 'identification', "eval_func='identification' is none of"),
    ('evaluator_cfg.sampler.frames_all_limit', 0, 'leaves no frame'),
    ('evaluator_cfg.sampler.type', 'TripletSampler', 'TripletSampler'),
    ('data_cfg', 3, 'must be a mapping, not 3'),
])
def test_settings_without_a_counterpart(path, value, message):
    with pytest.raises(SettingError, match=message):
        convert_settings(changed((path, value)))


def test_missing_settings_are_named():
    for path, message in (('model_cfg.backbone_cfg', r'settings\.model_cfg\.backbone_cfg'),
                          ('model_cfg.bin_num', r'settings\.model_cfg\.bin_num')):
        with pytest.raises(SettingError, match=rf'{message} is missing'):
            convert_settings(changed((path, None)))
    ordered = changed(('trainer_cfg.sampler.sample_type', 'fixed_ordered'),
                      ('trainer_cfg.sampler.frames_skip_num', None))
    with pytest.raises(SettingError, match='frames_skip_num is missing'):
        convert_settings(ordered)
    before = copy.deepcopy(ordered)
    with pytest.raises(SettingError):
        convert_settings(ordered)
    assert ordered == before  # nothing is changed in place
