_base_ = [
    '../_base_/models/gaitset.py', '../_base_/datasets/grew.py', '../_base_/schedules/adam.py',
    '../_base_/runtime.py'
]

model = dict(
    backbone=dict(channels=(64, 128, 256)),
    neck=dict(channels=(64, 128, 256)),
    head=dict(in_channels=256))
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(weight_decay=0.), paramwise_cfg=None)
param_scheduler = dict(milestones=[150000])
train_cfg = dict(max_iters=250000)
sync_bn = None
