"""Finetunes what GroupFisher has left of ResNet-18, ImageNet.

Worth changing: model.compressed (work_dir of the pruning run), optim_wrapper.lr_ratio.
"""

_base_ = ['mmpretrain::resnet/resnet18_8xb32_in1k.py', '../_base_/finetune.py']
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _base_.finetune, _delete_=True,
    compressed='work_dirs/group_fisher_prune_resnet18_8xb32_in1k')
optim_wrapper = dict(_base_.finetune_optim, lr_ratio=0.1)
default_hooks = _base_.finetune_hooks
