"""GETA on the small RTMPose of tools/demo.sh: half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio.
"""

_base_ = ['../../pose/rtmpose-demo_synthetic-128x96.py', '../_base_/geta.py']
model = dict(
    _base_.geta, _delete_=True, architecture=_base_.model, divisor=8,
    checkpoint='work_dirs/rtmpose-demo_synthetic-128x96/epoch_10.pth')
optim_wrapper = dict(_base_.geta_optim, lr_ratio=1.0)
default_hooks = _base_.geta_hooks
train_cfg = dict(max_epochs=8, val_interval=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=.1, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', eta_min_ratio=.05, begin=4, end=8, T_max=4,
         by_epoch=True, convert_to_iter_based=True)]
