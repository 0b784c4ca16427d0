# Full-size RTMPose-s on synthetic people, from scratch.
_base_ = [
    'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py',
    '../_base_/datasets/synthetic_people_17.py',
]

model = dict(
    backbone=dict(
        norm_cfg=dict(type='BN'),
        init_cfg=dict(
            _delete_=True,
            type='Kaiming',
            layer='Conv2d',
            a=5**.5,
            distribution='uniform',
            mode='fan_in',
            nonlinearity='leaky_relu')))

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody'),
    dict(type='RandomBBoxTransform', scale_factor=[.6, 1.4], rotate_factor=80),
    dict(type='TopdownAffine', input_size=_base_.codec.input_size),
    dict(type='mmdet.YOLOXHSVRandomAug'),
    dict(type='GenerateTarget', encoder=_base_.codec),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    dataset=dict(_delete_=True, **_base_.people_train, pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=2,
    dataset=dict(_delete_=True, **_base_.people_val, pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(_delete_=True, type='CocoMetric')
test_evaluator = val_evaluator
custom_hooks = [
    dict(
        type='EMAHook',
        ema_type='ExpMomentumEMA',
        momentum=0.0002,
        update_buffers=True,
        priority=49)
]
