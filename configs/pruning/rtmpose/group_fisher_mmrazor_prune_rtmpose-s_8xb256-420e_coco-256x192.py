"""GroupFisher on RTMPose-s as MMRazor has it: 0.51 of the FLOPs, the head left whole.

Worth changing: model.architecture.init_cfg.checkpoint, model.target_flop_ratio together with
default_hooks.resource.save_ckpt_thr, model.prune_end, model.interval, optim_wrapper.lr_ratio.
"""

_base_ = [
    'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py',
    '../_base_/group_fisher_mmrazor.py',
]
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _base_.group_fisher_mmrazor, _delete_=True, target_flop_ratio=0.51, prune_end=0.4,
    architecture=dict(_base_.model, _scope_='mmpose', init_cfg=dict(
        type='Pretrained', checkpoint='https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/rtmpose-s_simcc-coco_pt-aic-coco_420e-256x192-8edcf0d7_20230127.pth')))
optim_wrapper = _base_.group_fisher_mmrazor_optim
default_hooks = dict(_base_.group_fisher_mmrazor_hooks, resource=dict(
    _base_.group_fisher_mmrazor_hooks.resource, save_ckpt_thr=[0.51]))
