"""GroupFisher on RTMDet-tiny, COCO: half of the MACs.

Worth changing: model.checkpoint, model.target.ratio, model.divisor, model.schedule.end,
model.schedule.interval, optim_wrapper.lr_ratio.
"""

_base_ = ['mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py', '../_base_/group_fisher.py']
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _base_.group_fisher, _delete_=True, architecture=_base_.model, divisor=8, schedule=dict(begin=0.0, end=0.4, interval=10),
    checkpoint='https://download.openmmlab.com/mmdetection/v3.0/rtmdet/rtmdet_tiny_8xb32-300e_coco/rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth')
optim_wrapper = _base_.group_fisher_optim
default_hooks = dict(pruning=dict(_base_.group_fisher_hooks.pruning, stop_when_pruned=True))
