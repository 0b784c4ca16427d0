"""The compressed RTMPose-s as a deploy config of MMRazor's form, which MMDeploy's own tool takes.

tools/deploy.py needs none: it takes the folder of the run. Worth changing: model.fix_subnet,
model.divisor (MMDeploy pads channels to multiples of it; 1 where integers are deployed).
"""

_base_ = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _delete_=True, type='mmrazor.CompressedModel', architecture=_base_.model, divisor=1,
    fix_subnet='work_dirs/geta_finetune_rtmpose-s_8xb256-420e_coco-256x192/compressed/fix_subnet.json')
