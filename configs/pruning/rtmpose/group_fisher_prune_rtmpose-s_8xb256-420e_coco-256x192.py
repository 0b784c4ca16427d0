"""GroupFisher on RTMPose-s, COCO: 0.51 of the MACs.

Worth changing: model.checkpoint, model.target.ratio, model.divisor, model.schedule.end,
model.schedule.interval, optim_wrapper.lr_ratio.
"""

_base_ = [
    'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py',
    '../_base_/group_fisher.py',
]
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _base_.group_fisher, _delete_=True, architecture=_base_.model,
    target=dict(kind='macs', ratio=0.51), schedule=dict(begin=0.0, end=0.4, interval=10),
    checkpoint='https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/rtmpose-s_simcc-coco_pt-aic-coco_420e-256x192-8edcf0d7_20230127.pth')
optim_wrapper = _base_.group_fisher_optim
default_hooks = dict(pruning=dict(_base_.group_fisher_hooks.pruning, stop_when_pruned=True))
