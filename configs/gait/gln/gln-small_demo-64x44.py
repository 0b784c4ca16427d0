_base_ = ['../_base_/models/gln.py', '../_base_/datasets/demo.py', '../_base_/runtime.py']

model = dict(
    backbone=dict(channels=(8, 16, 32)),
    neck=dict(channels=(8, 16, 32), lateral_channels=32),
    head=dict(in_channels=32, embed_channels=32))

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, weight_decay=0.))
param_scheduler = dict(type='MultiStepLR', milestones=[500, 700], gamma=0.1, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=800, val_interval=800)
default_hooks = dict(
    logger=dict(interval=50), checkpoint=dict(interval=800))
sync_bn = None
