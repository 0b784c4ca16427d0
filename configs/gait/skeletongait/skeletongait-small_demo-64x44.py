_base_ = [
    '../_base_/models/skeletongait.py', '../_base_/datasets/demo_joint_maps.py',
    '../_base_/schedules/demo.py'
]

model = dict(
    backbone=dict(channels=(8, 16, 32, 64), stem_stride=2),
    pooling=dict(bins=(8, )),
    head=dict(in_channels=64, embed_channels=64, num_parts=8, num_classes=32))
train_pipeline = [
    dict(type='LoadSilhouettes', channels=2),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=8),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
test_pipeline = [dict(type='LoadSilhouettes', channels=2), *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(data_in_use=0, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_in_use=0, pipeline=test_pipeline))
test_dataloader = val_dataloader
