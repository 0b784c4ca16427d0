"""GroupFisher on a small SkeletonGait (synthetic walkers): half of the MACs.

Worth changing: model.checkpoint, model.target.ratio, model.divisor, model.schedule.end,
model.schedule.interval, optim_wrapper.lr_ratio; and
model.architecture.tensor_output='embedding' keeps the channels of the embedding.
"""

_base_ = ['../../gait/skeletongait/skeletongait-small_demo-64x44.py', '../_base_/group_fisher.py']
model = dict(
    _base_.group_fisher, _delete_=True, architecture=dict(_base_.model, tensor_output='logits'),
    checkpoint='work_dirs/skeletongait-small_demo-64x44/iter_800.pth', divisor=4,
    schedule=dict(begin=0.0, end=0.8, interval=5))
optim_wrapper = dict(_base_.group_fisher_optim, lr_ratio=0.1)
default_hooks = dict(_base_.group_fisher_hooks, checkpoint=dict(interval=200))
train_cfg = dict(max_iters=200, val_interval=200)
param_scheduler = dict(milestones=[])
