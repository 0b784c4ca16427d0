"""GETA on ResNet-18, ImageNet: half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio.
"""

_base_ = ['mmpretrain::resnet/resnet18_8xb32_in1k.py', '../_base_/geta.py']
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(
    _base_.geta, _delete_=True, architecture=_base_.model,
    checkpoint='https://download.openmmlab.com/mmclassification/v0/resnet/resnet18_8xb32_in1k_20210831-fbbb1da6.pth')
optim_wrapper = _base_.geta_optim
default_hooks = _base_.geta_hooks
