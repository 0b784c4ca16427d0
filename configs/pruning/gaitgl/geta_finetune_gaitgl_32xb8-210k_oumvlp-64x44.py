"""Finetunes what GETA has left of GaitGL, OU-MVLP.

Worth changing: model.compressed (work_dir of the pruning run), optim_wrapper.lr_ratio,
optim_wrapper.lr_quant.
"""

_base_ = ['../../gait/gaitgl/gaitgl_32xb8-210k_oumvlp-64x44.py', '../_base_/finetune.py']
model = dict(
    _base_.finetune, _delete_=True,
    compressed='work_dirs/geta_prune_gaitgl_32xb8-210k_oumvlp-64x44')
optim_wrapper = dict(_base_.finetune_optim, lr_ratio=1.0)
default_hooks = _base_.finetune_hooks
train_cfg = dict(max_iters=40000, val_interval=40000)
param_scheduler = dict(milestones=[20000, 32000])
