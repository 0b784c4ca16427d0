"""Finetunes what GETA has left of RTMDet-tiny, COCO.

Worth changing: model.compressed (work_dir of the pruning run), optim_wrapper.lr_ratio,
optim_wrapper.lr_quant.
"""

_base_ = ['mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py', '../_base_/finetune.py']
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _base_.finetune, _delete_=True,
    compressed='work_dirs/geta_prune_rtmdet_tiny_8xb32-300e_coco')
optim_wrapper = _base_.finetune_optim
default_hooks = _base_.finetune_hooks
