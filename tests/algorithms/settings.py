"""What the contract of compression is tested on: a row per algorithm, a row per model family."""
from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_classifier import PREPROCESSOR, loader, tiny_repvgg, write_stripes
from tiny_classifier import SIZE as IMAGE
from tiny_detector import SIZE as PICTURE
from tiny_detector import dataset, pipelines, tiny_rtmdet, write_pictures
from tiny_geta import dense_checkpoint
from tiny_pose import CODEC, KEYPOINTS, SIZE, tiny_rtmpose, tiny_swin

from razor_ext.compat import is_usable
from tests.gait.gait_compression import FAMILIES as GAIT_SIZES
from tests.gait.gait_compression import ZOO, write_silhouettes
from tests.gait.gait_trees import dataset_cfg

CONFIGS = Path(__file__).parents[2] / 'configs'
#: Iterations of every pruning run, and of every finetune run.
STEPS, FINETUNE_STEPS = 20, 4
#: Of 20 steps: warm-up to 3, projection to 8, joint to 16 (two periods of 4), then cool-down.
STAGES = dict(warmup=.15, projection=.25, pruning=.4, projection_periods=2, pruning_periods=2)
GRADUAL = dict(begin=0.4, end=0.8, interval=2)


@dataclass(frozen=True)
class Algorithm:
    """An algorithm, as a config names it.

    Args:
        name: of the row.
        base: config file that defines `prefix`, `prefix_optim` and `prefix_hooks`.
        prefix: of these names.
        model: arguments of the algorithm that differ from `prefix`.
        optim: keys of `optim_wrapper` that differ from `prefix_optim`.
        quantizes: whether the compressed model has learned integers.
        imports: modules to import by `custom_imports`, besides razor_ext.
    """

    name: str
    base: Path
    prefix: str
    model: Mapping[str, Any] = field(default_factory=dict)
    optim: Mapping[str, Any] = field(default_factory=dict)
    quantizes: bool = False
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelFamily:
    """A model of a family, dense.

    Args:
        name: of the row.
        write: writes the config `dense.py`, its weights `dense.pth`, the file `input.*` that a
            deployment traces, and what data these need, into a folder.
        deploy: text of its deploy config.
        architecture: expression of the dense model in a pruning config.
        quant: keys of the algorithm's `quant` that are the model's concern.
        requires: package that it is made of; without it the row is left out.
    """

    name: str
    write: Callable[[Path], None]
    deploy: str
    architecture: str = '_base_.model'
    quant: Mapping[str, Any] = field(default_factory=dict)
    requires: str = 'mmengine'


def _base(name: str) -> Path:
    return CONFIGS / 'pruning' / '_base_' / f'{name}.py'


ALGORITHMS = {row.name: row for row in (
    Algorithm('geta', _base('geta'), 'geta', dict(stages=STAGES), quantizes=True),
    Algorithm('geta_prune_only', _base('geta'), 'geta', dict(stages=STAGES, quant=None)),
    Algorithm('group_fisher', _base('group_fisher'), 'group_fisher', dict(schedule=GRADUAL),
              dict(lr_ratio=1.0)),
    Algorithm('l1', _base('l1'), 'l1', dict(schedule=GRADUAL)),
    Algorithm('taylor', _base('taylor'), 'taylor', dict(schedule=GRADUAL)),
    Algorithm('random', _base('random'), 'random', dict(schedule=GRADUAL)),
)}


def _dump(config: dict, folder: Path) -> Config:
    """Write a dense config of `STEPS` iterations, a checkpoint at every fourth of the way."""
    cfg = Config(dict(dict(
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=STEPS),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4)),
        randomness=dict(seed=0), log_level='ERROR'), **config))
    cfg.dump(folder / 'dense.py')
    return cfg


def _loader(batch_size: int, dataset: dict, **options: Any) -> dict:
    return dict(dict(batch_size=batch_size, num_workers=0, dataset=dataset,
                     sampler=dict(type='DefaultSampler', shuffle=True)), **options)


def write_pose(folder: Path) -> None:
    """Write the tiny RTMPose of `tiny_pose`, on people that are five dots."""
    _dump_pose(tiny_rtmpose(), folder)
    dense_checkpoint(folder / 'dense.pth')


def write_swin(folder: Path) -> None:
    """Write the tiny Swin of `tiny_pose`, likewise."""
    cfg = _dump_pose(tiny_swin(), folder)
    _save_trained(cfg, torch.randn(2, 3, *SIZE), folder)


def _dump_pose(model: dict, folder: Path) -> Config:
    cfg = _dump(dict(
        default_scope='mmpose', model=model, codec=CODEC,
        train_dataloader=_loader(2, dict(type='DotPeople', length=40)),
        test_dataloader=dict(dataset=dict(type='CocoDataset', metainfo=dict(
            dataset_name='dots', skeleton_info={}, joint_weights=[1.] * KEYPOINTS,
            sigmas=[.05] * KEYPOINTS, keypoint_info={
                i: dict(name=f'dot{i}', id=i, color=[0, 255, 0], type='', swap='')
                for i in range(KEYPOINTS)}), pipeline=[
            dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
            dict(type='TopdownAffine', input_size=SIZE), dict(type='PackPoseInputs')])),
        test_evaluator=dict(type='PCKAccuracy'), test_cfg=dict(),
        optim_wrapper=dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=.05),
            clip_grad=dict(max_norm=35.), paramwise_cfg=dict(
                norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True)),
        custom_imports=dict(imports=['tiny_pose'], allow_failed_imports=False)), folder)
    coarse = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    cv2.imwrite(str(folder / 'input.png'),
                cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC))
    return cfg


def _write_gait(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        """Write a small model of configs/gait, narrower, on silhouettes of noise."""
        folder_of_configs = CONFIGS / 'gait' / name.partition('-')[0]
        model = Config.fromfile(folder_of_configs / f'{name}-small_demo-64x44.py').model
        channels = sum(model.backbone.get('inputs', [model.backbone.get('in_channels', 1)]))
        write_silhouettes(folder, channels)
        steps = [dict(type='LoadSilhouettes', channels=channels),
                 dict(type='SampleFrames', mode='all'), dict(type='CropSides'),
                 dict(type='PackGaitInputs')]
        model = Config._merge_a_into_b((GAIT_SIZES | ZOO)[name], model)
        cfg = _dump(dict(
            default_scope='razor_ext', model=model.to_dict(),
            train_dataloader=_loader(
                4, dataset_cfg(folder, 'CASIABDataset', split='train', pipeline=steps),
                batch_sampler=dict(type='TripletBatchSampler', subjects=2)),
            test_dataloader=dict(dataset=dict(pipeline=steps)),
            test_evaluator=dict(type='CASIABMetric'), test_cfg=dict(),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(
                type='SGD', lr=.1, momentum=.9, weight_decay=5e-4))), folder)
        _save_trained(cfg, torch.rand(4, channels, 6, 64, 44), folder)
        shape = (6, 64, 64) if channels == 1 else (6, channels, 64, 64)
        frames = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8) * 255
        np.save(folder / 'input.npy', frames)
    return write


def write_toy(folder: Path) -> None:
    """Write the toy family's regressor, on sines."""
    cfg = _dump(dict(
        default_scope='razor_ext', model=dict(type='ToyRegressor'),
        train_dataloader=_loader(8, dict(type='ToySines', length=160),
                                 collate_fn=dict(type='default_collate')),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-2))), folder)
    _save_trained(cfg, torch.randn(4, 2, 32), folder)
    np.save(folder / 'input.npy', np.random.default_rng(0).random((2, 32), np.float32))


def write_classification(folder: Path) -> None:
    """Write the small RepVGG of `tiny_classifier`, on stripes."""
    write_stripes(folder)
    cfg = _dump(dict(
        default_scope='mmpretrain', model=tiny_repvgg(), data_preprocessor=PREPROCESSOR,
        train_dataloader=loader(folder, 'train', 8), test_dataloader=loader(folder, 'test', 8),
        test_evaluator=dict(type='Accuracy', topk=(1, )), test_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.01, momentum=.9, weight_decay=1e-4))),
        folder)
    _save_trained(cfg, torch.rand(8, 3, *IMAGE), folder)
    shutil.copy(folder / 'test' / 'angle_1' / '0.png', folder / 'input.png')
def write_detection(folder: Path) -> None:
    """Write the tiny RTMDet of `tiny_detector`, on pictures of rectangles."""
    write_pictures(folder)
    train, test = pipelines()
    cfg = _dump(dict(
        default_scope='mmdet', model=tiny_rtmdet(),
        train_dataloader=_loader(4, dataset(folder, train)),
        test_dataloader=_loader(1, dataset(folder, test, test_mode=True), sampler=dict(
            type='DefaultSampler', shuffle=False)),
        test_evaluator=dict(type='CocoMetric', ann_file=str(folder / 'boxes.json'), metric='bbox'),
        test_cfg=dict(type='TestLoop'),
        optim_wrapper=dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=4e-3, weight_decay=.05),
            paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True))),
        folder)
    # Of the spread of normalised pictures, and enough for the norms of maps of 2 x 2.
    _save_trained(cfg, torch.randn(16, 3, *PICTURE), folder)
    shutil.copy(folder / '000.png', folder / 'input.png')


def _save_trained(cfg: Config, inputs: torch.Tensor, folder: Path) -> None:
    """Save initial weights whose norms have seen data, as a trained model's have."""
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None
    with torch.no_grad():
        model.train()(inputs)
    torch.save({'state_dict': model.state_dict()}, folder / 'dense.pth')


_POSE = f"""_base_ = [{str(CONFIGS / 'deploy/pose_simcc_onnxruntime_static-256x192.py')!r}]
onnx_config = dict(input_shape={list(SIZE)})
"""
_GAIT = f"""_base_ = [{str(CONFIGS / 'deploy/gait_onnxruntime_dynamic.py')!r}]
"""
_LOGITS = "dict(_base_.model, tensor_output='logits')"
FAMILIES = {row.name: row for row in (
    ModelFamily('toy', write_toy, """
codebase_config = dict(type='toy_family', task='SignalRegression')
backend_config = dict(type='onnxruntime')
onnx_config = dict(
    type='onnx', save_file='end2end.onnx', opset_version=13, keep_initializers_as_inputs=False,
    input_shape=None, input_names=['input'], output_names=['frequency'])
"""),
    ModelFamily('pose', write_pose, _POSE),
    ModelFamily('swin', write_swin, _POSE),
    ModelFamily('classification', write_classification, f"""_base_ = [
    {str(CONFIGS / 'deploy/classification_onnxruntime_static-224x224.py')!r}]
onnx_config = dict(input_shape={list(IMAGE)})
""", requires='mmpretrain'),
    ModelFamily('detection', write_detection, f"""_base_ = [
    {str(CONFIGS / 'deploy/detection_onnxruntime_static-640x640.py')!r}]
onnx_config = dict(input_shape={list(PICTURE)})
""", requires='mmdet'),
    ModelFamily('gaitbase', _write_gait('gaitbase'), _GAIT, _LOGITS),
    ModelFamily('gaitgl', _write_gait('gaitgl'), _GAIT, _LOGITS, {
        'float_layers': {'head.classifier': 'is not deployed'}}),
    *(ModelFamily(name, _write_gait(name), _GAIT, _LOGITS) for name in (
        'deepgaitv2-p3d', 'skeletongait', 'skeletongaitpp', 'multigaitpp')),
    *(ModelFamily(name, _write_gait(name), _GAIT) for name in ('gaitset', 'gaitpart', 'gln')),
) if is_usable(row.requires)}
