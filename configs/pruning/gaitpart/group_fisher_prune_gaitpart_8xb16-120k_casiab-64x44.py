"""GroupFisher on GaitPart, CASIA-B: half of the MACs.

Worth changing: model.checkpoint, model.target.ratio, model.divisor, model.schedule.end,
model.schedule.interval, optim_wrapper.lr_ratio.
"""

_base_ = ['../../gait/gaitpart/gaitpart_8xb16-120k_casiab-64x44.py', '../_base_/group_fisher.py']
model = dict(
    _base_.group_fisher, _delete_=True, architecture=_base_.model,
    checkpoint='work_dirs/gaitpart_8xb16-120k_casiab-64x44/iter_120000.pth', divisor=8,
    schedule=dict(begin=0.0, end=0.8, interval=20))
optim_wrapper = dict(_base_.group_fisher_optim, lr_ratio=0.1)
default_hooks = _base_.group_fisher_hooks
train_cfg = dict(max_iters=20000, val_interval=20000)
param_scheduler = dict(milestones=[])
