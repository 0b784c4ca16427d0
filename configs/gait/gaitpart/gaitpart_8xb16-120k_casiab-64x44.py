_base_ = [
    '../_base_/models/gaitpart.py', '../_base_/datasets/casiab.py', '../_base_/schedules/adam.py',
    '../_base_/runtime.py'
]

train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=30, skip=10),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(weight_decay=0.), paramwise_cfg=None)
param_scheduler = dict(milestones=[100000])
train_cfg = dict(max_iters=120000)
sync_bn = None
