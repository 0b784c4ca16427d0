"""A whole RTMPose at a fraction of its width, and people that are five bright dots."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmpose.codecs import SimCCLabel
from mmpose.structures import PoseDataSample
from torch.utils.data import Dataset

SIZE = (64, 64)
KEYPOINTS = 5
CODEC = dict(type='SimCCLabel', input_size=SIZE, sigma=(2., 2.), simcc_split_ratio=2.0,
             normalize=False, use_dark=False)


def tiny_rtmpose(channel_attention: bool = True) -> dict:
    """Return the config of an RTMPose of 64x64 input: CSPNeXt at width 0.125, GAU head."""
    return dict(
        _scope_='mmpose',
        type='TopdownPoseEstimator',
        data_preprocessor=dict(type='PoseDataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3),
        backbone=dict(
            _scope_='mmdet', type='CSPNeXt', arch='P5', expand_ratio=0.5, deepen_factor=0.167,
            widen_factor=0.125, out_indices=(4, ), channel_attention=channel_attention,
            norm_cfg=dict(type='SyncBN'), act_cfg=dict(type='SiLU')),
        head=dict(
            type='RTMCCHead', in_channels=128, out_channels=KEYPOINTS, input_size=SIZE,
            in_featuremap_size=(2, 2), simcc_split_ratio=2.0, final_layer_kernel_size=3,
            gau_cfg=dict(hidden_dims=32, s=16, expansion_factor=2, dropout_rate=0.,
                         drop_path=0., act_fn='SiLU', use_rel_bias=False, pos_enc=False),
            loss=dict(type='KLDiscretLoss', use_target_weight=True, beta=10.,
                      label_softmax=True),
            decoder=CODEC),
        test_cfg=dict(flip_test=False))


def tiny_swin() -> dict:
    """Return the config of a pose model of 64x64 input on a Swin transformer of two stages."""
    model = tiny_rtmpose()
    model['backbone'] = dict(
        type='SwinTransformer', embed_dims=16, depths=(2, 2), num_heads=(2, 4), window_size=4,
        mlp_ratio=2, strides=(4, 2), out_indices=(1, ), drop_path_rate=0.)
    model['head'].update(in_channels=32, in_featuremap_size=(8, 8))
    return model


@DATASETS.register_module(force=True)
class DotPeople(Dataset):
    """Images with a bright dot for each keypoint, the same for the same index."""

    def __init__(self, length: int = 8) -> None:
        self.length = length
        self.codec = SimCCLabel(**{key: value for key, value in CODEC.items() if key != 'type'})

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        rng = np.random.default_rng(index)
        keypoints = rng.uniform(8, 56, (1, KEYPOINTS, 2)).astype(np.float32)
        image = rng.integers(0, 60, (3, SIZE[1], SIZE[0])).astype(np.uint8)
        for x, y in keypoints[0].astype(int):
            image[:, y - 2:y + 3, x - 2:x + 3] = 255
        encoded = self.codec.encode(keypoints, np.ones((1, KEYPOINTS), dtype=np.float32))
        sample = PoseDataSample(gt_instance_labels=InstanceData(
            **{key: torch.as_tensor(value) for key, value in encoded.items()}))
        return dict(inputs=torch.from_numpy(image), data_samples=sample)


def batch(start: int, stop: int) -> dict:
    """Return the people [start, stop) as a dataloader would."""
    items = [DotPeople()[index] for index in range(start, stop)]
    return dict(inputs=[item['inputs'] for item in items],
                data_samples=[item['data_samples'] for item in items])


def group_fisher(**overrides: object) -> dict:
    """Return the config of a GroupFisher algorithm over the tiny RTMPose."""
    config = dict(
        _scope_='mmrazor', type='GroupFisherAlgorithm', architecture=tiny_rtmpose(), interval=1,
        mutator=dict(
            type='GroupFisherChannelMutator',
            parse_cfg=dict(type='ChannelAnalyzer', tracer_type='FxTracer'),
            channel_unit_cfg=dict(type='GroupFisherChannelUnit',
                                  default_args=dict(normalization_type='act'))))
    config['mutator'].update(overrides.pop('mutator', {}))
    config.update(overrides)
    return config


def runner(work_dir: Path, model: dict, epochs: int = 2, hooks: tuple = (), **overrides: object
           ) -> Runner:
    """Return a Runner that trains `model` on eight dot people, two at a time."""
    settings = dict(
        model=model, work_dir=str(work_dir), default_scope='mmpose',
        experiment_name=work_dir.name,
        train_dataloader=dict(batch_size=2, num_workers=0, dataset=dict(type='DotPeople'),
                              sampler=dict(type='DefaultSampler', shuffle=True, seed=0)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        custom_hooks=list(hooks), randomness=dict(seed=0), log_level='ERROR')
    settings.update(overrides)
    return Runner.from_cfg(settings)


def prune_hooks(*thresholds: float, **kwargs: object) -> tuple[dict, ...]:
    """Return the two hooks of a pruning run."""
    return (dict(type='mmrazor.PruningStructureHook'),
            dict(type='mmrazor.ResourceInfoHook', interval=1, save_ckpt_thr=list(thresholds),
                 demo_input=dict(type='mmrazor.DefaultDemoInput', input_shape=(1, 3, *SIZE)),
                 **kwargs))
