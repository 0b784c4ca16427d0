"""GroupFisher on MultiGait++, Gait3D: half of the MACs.

Worth changing: model.checkpoint, model.target.ratio, model.divisor, model.schedule.end,
model.schedule.interval, optim_wrapper.lr_ratio; and
model.architecture.tensor_output='embedding' keeps the channels of the embedding.
"""

_base_ = [
    '../../gait/multigaitpp/multigaitpp_32xb4-60k_gait3d-64x44.py',
    '../_base_/group_fisher.py',
]
model = dict(
    _base_.group_fisher, _delete_=True, architecture=dict(_base_.model, tensor_output='logits'),
    checkpoint='work_dirs/multigaitpp_32xb4-60k_gait3d-64x44/iter_60000.pth', divisor=8,
    schedule=dict(begin=0.0, end=0.8, interval=20))
optim_wrapper = dict(_base_.group_fisher_optim, lr_ratio=0.01)
default_hooks = _base_.group_fisher_hooks
train_cfg = dict(max_iters=20000, val_interval=20000)
param_scheduler = dict(milestones=[])
