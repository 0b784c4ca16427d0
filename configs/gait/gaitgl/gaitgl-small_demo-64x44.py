_base_ = ['../_base_/models/gaitgl.py', '../_base_/datasets/demo.py', '../_base_/runtime.py']

# A BNNeck, as on GREW: one BatchNorm over all parts learns nothing within so few iterations.
model = dict(
    backbone=dict(stem=(8, ), stages=((12, ), (16, ), (16, )), num_strips=8),
    head=dict(
        type='PartBNNeckHead',
        in_channels=16,
        embed_channels=32,
        num_classes=32,
        loss_cls=dict(scale=16)))
train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=9),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=5e-3, weight_decay=0.),
    paramwise_cfg=dict(custom_keys={'pooling.p': dict(decay_mult=0.)}))
param_scheduler = dict(type='MultiStepLR', milestones=[300, 450], gamma=0.2, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=500, val_interval=500)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=500))
sync_bn = None
