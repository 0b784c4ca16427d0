"""What one command asks for, and the configs that stand for it."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from razor_ext.engine import UnreadKeyError, check_config
from razor_ext.workflow.configs import write_configs, write_dense
from razor_ext.workflow.model import build_dense, deploy_config
from razor_ext.workflow.pipeline import lengths, plan_steps
from razor_ext.workflow.request import (
    SHIPPED,
    Length,
    Request,
    RequestError,
    methods,
    parse_bits,
    parse_shares,
    parse_target,
)
from razor_ext.workflow.schedule import scaled_schedule

from .test_annotations import GOOD

STOCK = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_mobilenetv2_8xb64-210e_coco-256x192.py'
RTMPOSE = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'
RTMO = 'mmpose::body_2d_keypoint/rtmo/coco/rtmo-s_8xb32-600e_coco-640x640.py'


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    torch.save({}, tmp_path / 'dense.pth')
    return str(tmp_path / 'dense.pth')


def stock(name: str = STOCK) -> Config:
    return Config.fromfile(Config._get_cfg_path(name, '')[0])


def test_targets_and_bits_are_read() -> None:
    assert parse_target('macs=0.5') == ('macs', 0.5)
    assert parse_bits('4-8') == (4, 8)
    assert parse_bits('8') == (8, 8)
    assert parse_bits('none') is None
    for parse, text in ((parse_target, 'macs'), (parse_target, '=x'), (parse_bits, '4-6-8'),
                        (parse_bits, 'few')):
        with pytest.raises(RequestError, match=text):
            parse(text)


@pytest.mark.parametrize(('values', 'expected'), [
    (dict(method='magic'), 'geta'), (dict(target=('macs', 1.5)), 'macs=1.5'),
    (dict(epochs=-1), '--epochs -1'), (dict(iters=-1), '--iters -1'),
    (dict(divisor=0), '--divisor 0'),
    (dict(activation='Tanh'), "'Tanh' is none of"), (dict(activation='ReLU', epochs=0, method='l1'),
                                                  'change while a run'),
    (dict(checkpoint='no.pth'), "'no.pth' does not exist")])
def test_a_request_that_cannot_be_is_refused(values: dict, expected: str, checkpoint: str) -> None:
    with pytest.raises(RequestError, match=expected):
        Request(**{'config': STOCK, 'checkpoint': checkpoint, **values})


def test_a_schedule_keeps_its_shares() -> None:
    changes = scaled_schedule(stock(RTMPOSE), Length(42))
    assert changes['train_cfg'] == dict(max_epochs=42, val_interval=1)
    warmup, cosine = changes['param_scheduler']
    assert warmup['end'] == 100  # of 1,000 iterations in 420 epochs
    assert [cosine[key] for key in ('begin', 'end', 'T_max')] == [21, 42, 21]
    assert next(hook['switch_epoch'] for hook in changes['custom_hooks']
                if hook['type'] == 'mmdet.PipelineSwitchHook') == 39
    brief = scaled_schedule(stock(RTMO), Length(40))['param_scheduler'][2]
    assert (brief['begin'], brief['end']) == (19, 20)  # epochs 280 to 281 of 600
    with pytest.raises(RequestError, match=r'--epochs: .*max_iters.*give --iters'):
        scaled_schedule(Config(dict(train_cfg=dict(max_iters=10))), Length(5))


def test_a_training_that_is_counted_in_iterations_keeps_its_shares(checkpoint: str, tmp_path: Path
                                                                   ) -> None:
    config = str(SHIPPED / 'configs/gait/gaitbase/gaitbase-small_demo-64x44.py')
    request = Request(config, checkpoint, iters=400, finetune_iters=200)
    assert lengths(request, {'max_iters': 800}) == (400, 200)
    assert lengths(Request(config, checkpoint), {'max_iters': 800}) == (800, 800)
    dense = write_dense(request, Config.fromfile(config), tmp_path)
    files = write_configs(request, dense, {}, tmp_path, {'tensor_output': 'logits'})
    prune, finetune = Config.fromfile(files.prune), Config.fromfile(files.finetune)
    assert (prune.train_cfg.max_iters, finetune.train_cfg.max_iters) == (400, 200)
    assert prune.train_cfg.type == 'IterBasedTrainLoop'
    assert prune.param_scheduler[0].milestones == [250, 350]  # of 500 and 700 in 800
    assert prune.model.architecture.tensor_output == 'logits'
    with pytest.raises(RequestError, match='unit of the dense training'):
        Request(config, checkpoint, iters=400, epochs=2)


@pytest.mark.parametrize('method', methods())
def test_the_configs_are_those_of_the_tools(method: str, checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / 'mine' / 'images').mkdir(parents=True)
    (tmp_path / 'mine' / 'train.json').write_text(json.dumps(GOOD))
    request = Request(
        STOCK, checkpoint, method, epochs=21, finetune_epochs=5, lr_ratio=0.25, divisor=16,
        distill=method != 'random', activation='ReLU' if method == 'l1' else None,
        data=dict(data_root=str(tmp_path / 'mine'), train_ann='train.json', train_images='images'),
        options={'train_dataloader.batch_size': 8, 'optim_wrapper.optimizer.lr': 0.001})
    dense = write_dense(request, stock(), tmp_path)
    files = write_configs(request, dense, {'backend_config': dict(type='onnxruntime')}, tmp_path)
    whole, prune, finetune = (Config.fromfile(path)
                              for path in (files.dense, files.prune, files.finetune))
    for cfg in (whole, prune, finetune):
        check_config(cfg)
        assert cfg.train_dataloader.batch_size == 8
        assert cfg.train_dataloader.dataset.ann_file == 'train.json'
        assert cfg.train_dataloader.dataset.data_prefix == dict(img='images')
        assert cfg.optim_wrapper.optimizer.lr == 0.001
    assert prune.model.architecture == whole.model
    assert prune.model.checkpoint == checkpoint
    assert prune.model.target.ratio == 0.5
    assert prune.model.divisor == 16
    assert ('quant' in prune.model) == (method == 'geta')
    assert (prune.train_cfg.max_epochs, finetune.train_cfg.max_epochs) == (21, 5)
    assert prune.optim_wrapper.lr_ratio == finetune.optim_wrapper.lr_ratio == 0.25
    assert finetune.model.compressed == str(tmp_path / 'prune')
    assert (prune.model.get('distill'), finetune.model.get('distill')) == (
        (None, None) if method == 'random' else (True, checkpoint))
    assert prune.model.get('activation') == (dict(to='ReLU') if method == 'l1' else None)
    assert {'pruning', 'checkpoint'} <= set(prune.default_hooks)


def test_without_training_there_is_no_optimizer_and_no_hook(checkpoint: str, tmp_path: Path
                                                            ) -> None:
    (tmp_path / 'mine' / 'images').mkdir(parents=True)
    request = Request(STOCK, checkpoint, 'post_training', ('macs', 0.65), epochs=0, mean_bits=6.5,
                      finetune_epochs=3, validate=True,
                      data=dict(data_root=str(tmp_path / 'mine'), val_images='images'))
    assert request.quantizes
    config = stock()
    config.val_dataloader.dataset.ann_file = 'held_out.json'
    files = write_configs(request, write_dense(request, config, tmp_path), {}, tmp_path)
    prune, finetune = (Config.fromfile(path) for path in (files.prune, files.finetune))
    for cfg in (prune, finetune):
        check_config(cfg)
        assert cfg.test_dataloader.dataset.ann_file == 'held_out.json'
        assert cfg.test_dataloader.dataset.data_prefix == dict(img='images')
        assert cfg.test_evaluator.type == 'CocoMetric'
    assert prune.model.type == 'mmrazor.PostTraining'
    assert prune.model.mean_bits == 6.5
    assert tuple(prune.model.quant.weight_bits) == (4, 8)
    assert prune.model.quant.weight_granularity == 'channel'
    assert 'constructor' not in prune.optim_wrapper
    assert 'pruning' not in prune.default_hooks
    assert finetune.model.compressed == str(tmp_path / 'prune')
    assert lengths(request, prune.train_cfg) == (0., 3.)
    step = plan_steps(request, files, 'x.jpg', tmp_path, (0., 0.))[2]
    assert Path(step.command[1]).name == 'post_train.py'
    assert step.command[-1] == '512'
    alone = Request(STOCK, checkpoint, 'l1', epochs=0, bits=None)
    files = write_configs(alone, write_dense(alone, stock(), tmp_path), {}, tmp_path)
    model = Config.fromfile(files.prune).model
    assert (model.scores, model.quant) == (['l1'], None)


@pytest.mark.parametrize(('values', 'expected'), [
    (dict(method='geta', epochs=0), 'leave --method out'),
    (dict(method='post_training', epochs=3), 'is none of'),
    (dict(mean_bits=6.0), '--mean-bits 6.0 is for --epochs 0'),
    (dict(method='post_training', epochs=0, mean_bits=9.0), 'lies outside --bits'),
    (dict(method='post_training', epochs=0, mean_bits=6.0, bits=None), 'lies outside --bits'),
    (dict(method='post_training', epochs=0, mean_bits=6.0, target=('bops', .02)), 'both say'),
    (dict(method='post_training', epochs=0, images=1), '--images 1')])
def test_what_does_not_go_together_is_refused(values: dict, expected: str, checkpoint: str) -> None:
    with pytest.raises(RequestError, match=expected):
        Request(**{'config': STOCK, 'checkpoint': checkpoint, **values})


def test_shares_are_read() -> None:
    assert parse_shares('0.7,0.5') == [0.7, 0.5]
    for text in ('0.7;0.5', '0.5,0.5', '1.5', '0'):
        with pytest.raises(RequestError, match='--pareto'):
            parse_shares(text)


def test_data_that_are_not_there_and_options_that_nothing_reads_are_refused(
        checkpoint: str, tmp_path: Path) -> None:
    request = Request(STOCK, checkpoint, data=dict(data_root='mine', val_ann='val.json'))
    with pytest.raises(RequestError, match=r'mine.val\.json does not exist'):
        write_dense(request, stock(), tmp_path)
    with pytest.raises(UnreadKeyError, match='optim_wraper'):
        write_dense(Request(STOCK, checkpoint, options={'optim_wraper.optimizer.lr': 1.}), stock(),
                    tmp_path)


def test_a_folder_of_classes_takes_the_place_of_imagenet(checkpoint: str, tmp_path: Path) -> None:
    pytest.importorskip('mmpretrain')
    (tmp_path / 'train').mkdir()
    (tmp_path / 'val.txt').write_text('train/a.jpg 0')
    config = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
    request = Request(config, checkpoint, data=dict(
        data_root=str(tmp_path), train_images='train', val_images='train', val_ann='val.txt'))
    before = stock(config)
    after = Config.fromfile(write_dense(request, before, tmp_path))
    check_config(after)
    for loader, listed in (('train_dataloader', ''), ('val_dataloader', 'val.txt'),
                           ('test_dataloader', 'val.txt')):
        assert after[loader].dataset == dict(
            type='mmpretrain.CustomDataset', data_root=str(tmp_path), data_prefix='train',
            ann_file=listed, pipeline=before[loader].dataset.pipeline)
    with pytest.raises(RequestError, match='--train-images'):
        write_dense(Request(config, checkpoint, data=dict(train_images='none')), before, tmp_path)


@pytest.mark.parametrize(('config', 'outputs'), [(STOCK, ['output']),
                                                 (RTMPOSE, ['simcc_x', 'simcc_y'])])
def test_the_deploy_config_follows_the_model(config: str, outputs: list[str], checkpoint: str
                                             ) -> None:
    cfg = stock(config)
    cfg.model.backbone.init_cfg = None
    model = build_dense(cfg)
    for backend in ('onnxruntime', 'openvino', 'ncnn', 'tensorrt'):
        found = deploy_config(model, Request(config, checkpoint, backend=backend))
        assert found['onnx_config']['output_names'] == outputs
        assert found['onnx_config']['input_shape'] == (192, 256)
        assert found['backend_config']['type'] == backend
        assert json.loads(json.dumps(found))  # plain values
    with pytest.raises(RequestError, match=r'abacus.*onnxruntime'):
        deploy_config(model, Request(config, checkpoint, backend='abacus'))


def test_a_model_without_a_deployment_is_told_the_way(checkpoint: str) -> None:
    model = build_dense(Config(dict(default_scope='mmpose', model=dict(
        type='BottomupPoseEstimator', backbone=dict(type='ResNet', depth=18), head=dict(
            type='HeatmapHead', in_channels=512, out_channels=17, deconv_out_channels=None)))))
    with pytest.raises(RequestError, match=r'BottomupPoseEstimator is deployed.*tools/deploy\.py'):
        deploy_config(model, Request(STOCK, checkpoint))
