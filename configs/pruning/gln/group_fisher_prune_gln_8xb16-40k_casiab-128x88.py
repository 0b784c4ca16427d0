"""GroupFisher on GLN, CASIA-B: half of the MACs.

Worth changing: model.checkpoint, model.target.ratio, model.divisor, model.schedule.end,
model.schedule.interval, optim_wrapper.lr_ratio.
"""

_base_ = ['../../gait/gln/gln_8xb16-40k_casiab-128x88.py', '../_base_/group_fisher.py']
model = dict(
    _base_.group_fisher, _delete_=True, architecture=_base_.model,
    checkpoint='work_dirs/gln_8xb16-40k_casiab-128x88/iter_40000.pth', divisor=8,
    demo_input=(1, 1, 6, 128, 88),
    schedule=dict(begin=0.0, end=0.8, interval=20))
optim_wrapper = dict(_base_.group_fisher_optim, lr_ratio=0.01)
default_hooks = _base_.group_fisher_hooks
train_cfg = dict(max_iters=20000, val_interval=20000)
param_scheduler = dict(milestones=[])
