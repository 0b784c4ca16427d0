"""GETA on RTMPose-t, 26 keypoints: half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio.
"""

_base_ = [
    'mmpose::body_2d_keypoint/rtmpose/body8/rtmpose-t_8xb1024-700e_body8-halpe26-256x192.py',
    '../_base_/geta.py',
]
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _base_.geta, _delete_=True, architecture=_base_.model,
    checkpoint='https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/rtmpose-t_simcc-body7_pt-body7-halpe26_700e-256x192-6020f8a6_20230605.pth')
optim_wrapper = _base_.geta_optim
default_hooks = _base_.geta_hooks
