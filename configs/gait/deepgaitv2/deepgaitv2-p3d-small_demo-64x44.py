_base_ = [
    '../_base_/models/deepgaitv2.py', '../_base_/datasets/demo.py', '../_base_/schedules/demo.py'
]

model = dict(
    backbone=dict(channels=(8, 16, 32, 64), stem_stride=2),
    pooling=dict(bins=(8, )),
    head=dict(in_channels=64, embed_channels=64, num_parts=8, num_classes=32))
train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=8),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
