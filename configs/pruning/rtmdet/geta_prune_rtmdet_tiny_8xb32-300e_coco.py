"""GETA on RTMDet-tiny, COCO: half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio.
"""

_base_ = ['mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py', '../_base_/geta.py']
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _base_.geta, _delete_=True, architecture=_base_.model, divisor=8,
    checkpoint='https://download.openmmlab.com/mmdetection/v3.0/rtmdet/rtmdet_tiny_8xb32-300e_coco/rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth')
optim_wrapper = _base_.geta_optim
default_hooks = _base_.geta_hooks
