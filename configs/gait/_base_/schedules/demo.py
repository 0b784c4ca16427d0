_base_ = '../runtime.py'

# Of the small models on synthetic walkers: minutes on a CPU.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4))
param_scheduler = dict(type='MultiStepLR', milestones=[500, 700], gamma=0.1, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=800, val_interval=800)
default_hooks = dict(
    logger=dict(interval=50), checkpoint=dict(interval=800))
sync_bn = None
