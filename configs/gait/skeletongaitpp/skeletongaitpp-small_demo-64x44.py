_base_ = [
    '../_base_/models/skeletongaitpp.py', '../_base_/datasets/demo_joint_maps.py', '../_base_/runtime.py'
]

model = dict(
    backbone=dict(channels=(8, 16, 32, 64), stem_stride=2, squeeze=2),
    pooling=dict(bins=(8, )),
    head=dict(in_channels=64, embed_channels=64, num_parts=8, num_classes=32))
train_pipeline = [
    dict(type='LoadSilhouettes', channels=3),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=8),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
test_pipeline = [
    dict(type='LoadSilhouettes', channels=3),
    dict(type='SampleFrames', mode='all'),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(data_in_use=[0, 1], pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_in_use=[0, 1], pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4))
param_scheduler = dict(type='MultiStepLR', milestones=[500, 700], gamma=0.1, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=800, val_interval=800)
default_hooks = dict(
    logger=dict(interval=50), checkpoint=dict(interval=800))
sync_bn = None
