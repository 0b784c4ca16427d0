"""Finetunes what GETA has left of the small RTMPose of tools/demo.sh.

Worth changing: model.compressed (work_dir of the pruning run), optim_wrapper.lr_ratio,
optim_wrapper.lr_quant.
"""

_base_ = ['../../pose/rtmpose-demo_synthetic-128x96.py', '../_base_/finetune.py']
model = dict(
    _base_.finetune, _delete_=True,
    compressed='work_dirs/geta_prune_rtmpose-demo_synthetic-128x96')
optim_wrapper = dict(_base_.finetune_optim, lr_ratio=0.5)
default_hooks = _base_.finetune_hooks
train_cfg = dict(max_epochs=6, val_interval=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=.1, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', eta_min=5e-6, begin=0, end=6, T_max=6,
         by_epoch=True, convert_to_iter_based=True)]
