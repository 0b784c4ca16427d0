# Full-size RTMPose-s on synthetic people, from scratch.
_base_ = [
    'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py',
    '../_base_/datasets/synthetic_people_17.py',
    './_base_/scratch_backbone.py',
    './_base_/people_loaders.py',
]

model = dict(backbone=_base_.scratch_backbone)
train_pipeline = [
    *_base_.augmentation,
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
custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] == 'EMAHook']
