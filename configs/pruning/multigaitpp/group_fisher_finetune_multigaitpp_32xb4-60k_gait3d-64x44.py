"""Finetunes what GroupFisher has left of MultiGait++, Gait3D.

Worth changing: model.compressed (work_dir of the pruning run), optim_wrapper.lr_ratio.
"""

_base_ = ['../../gait/multigaitpp/multigaitpp_32xb4-60k_gait3d-64x44.py', '../_base_/finetune.py']
model = dict(
    _base_.finetune, _delete_=True,
    compressed='work_dirs/group_fisher_prune_multigaitpp_32xb4-60k_gait3d-64x44')
optim_wrapper = dict(_base_.finetune_optim, lr_ratio=0.1)
default_hooks = _base_.finetune_hooks
train_cfg = dict(max_iters=20000, val_interval=20000)
param_scheduler = dict(milestones=[10000, 16000])
