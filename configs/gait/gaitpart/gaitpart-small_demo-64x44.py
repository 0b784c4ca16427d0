_base_ = ['../_base_/models/gaitpart.py', '../_base_/datasets/demo.py', '../_base_/schedules/demo.py']

model = dict(
    backbone=dict(channels=((16, 16), (32, 32), (64, 64)), strips=(1, 2, 4), stem_stride=2),
    pooling=dict(in_channels=64, bins=(8, )),
    head=dict(in_channels=64, embed_channels=64, num_parts=8))
train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=8),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=1e-3, weight_decay=0.))
