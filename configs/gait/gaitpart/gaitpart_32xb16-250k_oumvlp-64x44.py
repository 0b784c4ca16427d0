_base_ = [
    '../_base_/models/gaitpart.py', '../_base_/datasets/oumvlp.py', '../_base_/schedules/adam.py',
    '../_base_/runtime.py'
]

model = dict(
    backbone=dict(channels=((32, 32), (64, 64), (128, 128, 256, 256)), strips=(1, 1, 8)),
    pooling=dict(in_channels=256),
    head=dict(in_channels=256, embed_channels=256))
train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=30, skip=10),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(batch_size=512, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(weight_decay=0.), paramwise_cfg=None)
param_scheduler = dict(milestones=[150000])
train_cfg = dict(max_iters=250000)
sync_bn = None
