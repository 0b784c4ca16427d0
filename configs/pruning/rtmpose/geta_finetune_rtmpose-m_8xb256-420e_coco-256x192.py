"""Finetunes what GETA has left of RTMPose-m, COCO.

Worth changing: model.compressed (work_dir of the pruning run), optim_wrapper.lr_ratio,
optim_wrapper.lr_quant.
"""

_base_ = [
    'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192.py',
    '../_base_/finetune.py',
]
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _base_.finetune, _delete_=True,
    compressed='work_dirs/geta_prune_rtmpose-m_8xb256-420e_coco-256x192')
optim_wrapper = _base_.finetune_optim
default_hooks = _base_.finetune_hooks
