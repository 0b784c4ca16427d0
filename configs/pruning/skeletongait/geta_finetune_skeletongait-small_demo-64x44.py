"""Finetunes what GETA has left of a small SkeletonGait (synthetic walkers).

Worth changing: model.compressed (work_dir of the pruning run), optim_wrapper.lr_ratio,
optim_wrapper.lr_quant.
"""

_base_ = ['../../gait/skeletongait/skeletongait-small_demo-64x44.py', '../_base_/finetune.py']
model = dict(
    _base_.finetune, _delete_=True,
    compressed='work_dirs/geta_prune_skeletongait-small_demo-64x44')
optim_wrapper = dict(_base_.finetune_optim, lr_ratio=0.2)
default_hooks = dict(_base_.finetune_hooks, checkpoint=dict(interval=200))
train_cfg = dict(max_iters=200, val_interval=200)
param_scheduler = dict(milestones=[120, 180])
