"""RTMPose-s as MMRazor's GroupFisher has left it, for deployment.

Worth changing: model.fix_subnet, model.divisor (MMDeploy pads channels to multiples of it).
"""

_base_ = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _delete_=True, _scope_='mmrazor', type='GroupFisherDeploySubModel', divisor=1,
    architecture=dict(_base_.model, _scope_='mmpose'),
    fix_subnet='work_dirs/group_fisher_mmrazor_finetune_rtmpose-s_8xb256-420e_coco-256x192/fix_subnet.json')
