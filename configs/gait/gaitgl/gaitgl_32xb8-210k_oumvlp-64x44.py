_base_ = [
    '../_base_/models/gaitgl.py', '../_base_/datasets/oumvlp.py', '../_base_/schedules/adam.py',
    '../_base_/runtime.py'
]

# the large variant: pairs of convolutions in the stem and every stage, two strips
model = dict(
    backbone=dict(stem=(32, 32), stages=((64, 64), (128, 128), (256, 256)), num_strips=2),
    head=dict(
        in_channels=256,
        embed_channels=256,
        num_classes=5153,
        loss_cls=dict(label_smoothing=0.1)))
train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=30),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(weight_decay=0.))
param_scheduler = dict(milestones=[150000, 200000])
train_cfg = dict(max_iters=210000)
