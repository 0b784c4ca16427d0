"""Finetunes what GroupFisher has left of RTMPose-t, 26 keypoints.

Worth changing: model.compressed (work_dir of the pruning run), optim_wrapper.lr_ratio.
"""

_base_ = [
    'mmpose::body_2d_keypoint/rtmpose/body8/rtmpose-t_8xb1024-700e_body8-halpe26-256x192.py',
    '../_base_/finetune.py',
]
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _base_.finetune, _delete_=True,
    compressed='work_dirs/group_fisher_prune_rtmpose-t_8xb1024-700e_body8-halpe26-256x192')
optim_wrapper = _base_.finetune_optim
default_hooks = _base_.finetune_hooks
