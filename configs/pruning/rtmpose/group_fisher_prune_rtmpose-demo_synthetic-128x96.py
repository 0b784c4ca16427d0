"""GroupFisher on the small RTMPose of tools/demo.sh: half of the MACs.

Worth changing: model.checkpoint, model.target.ratio, model.divisor, model.schedule.end,
model.schedule.interval, optim_wrapper.lr_ratio.
"""

_base_ = ['../../pose/rtmpose-demo_synthetic-128x96.py', '../_base_/group_fisher.py']
model = dict(
    _base_.group_fisher, _delete_=True, architecture=_base_.model, divisor=8,
    schedule=dict(begin=0.0, end=0.7, interval=10),
    checkpoint='work_dirs/rtmpose-demo_synthetic-128x96/epoch_10.pth')
optim_wrapper = dict(_base_.group_fisher_optim, lr_ratio=0.3)
default_hooks = dict(pruning=dict(_base_.group_fisher_hooks.pruning, stop_when_pruned=True))
train_cfg = dict(max_epochs=2, val_interval=2)
param_scheduler = [dict(type='LinearLR', start_factor=.1, by_epoch=False, begin=0, end=20)]
