# RTMPose made small, for two cores and a few minutes: the same blocks, fewer of them and narrower.
_base_ = [
    'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py',
    '../_base_/datasets/synthetic_people_17.py',
    './_base_/scratch_backbone.py',
]

max_epochs = 10
base_lr = 1e-3
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=base_lr, weight_decay=.01), clip_grad=dict(max_norm=10.))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=60),
    dict(
        type='CosineAnnealingLR',
        eta_min=base_lr * .01,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True),
]

codec = dict(
    type='SimCCLabel',
    input_size=(96, 128),
    sigma=(3.4, 3.9),
    simcc_split_ratio=2.0,
    normalize=False,
    use_dark=False)

model = dict(
    backbone=dict(
        _base_.scratch_backbone,
        deepen_factor=.167,
        widen_factor=.25,
        # Three stages: from scratch, the fourth's map of 4 x 3 learns positions too slowly.
        arch_ovewrite=[[64, 128, 3, True, False], [128, 256, 6, True, False],
                       [256, 512, 6, False, True]],
        out_indices=(3, )),
    head=dict(
        in_channels=128,
        input_size=codec['input_size'],
        in_featuremap_size=(6, 8),
        gau_cfg=dict(hidden_dims=128, s=64),
        decoder=codec),
    test_cfg=dict(flip_test=False))

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

# One person, facing us, before a plain background: what so small a model can learn so soon.
scene = dict(
    size=(120, 160), people=(1, 1), stature=(.8, .95), variety=.15, yaw=35., roll=4., occlusion=.05,
    clutter=.15, degrade=.3)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(_delete_=True, **_base_.people_train, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(_delete_=True, **_base_.people_val, pipeline=val_pipeline))
train_dataloader['dataset'].update(num_images=2400, scene=scene)
val_dataloader['dataset'].update(num_images=300, scene=scene)
test_dataloader = val_dataloader

val_evaluator = dict(_delete_=True, type='CocoMetric')
test_evaluator = val_evaluator
custom_hooks = []
default_hooks = dict(logger=dict(interval=50))
