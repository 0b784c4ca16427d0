"""GETA on GaitPart, CASIA-B: half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio.
"""

_base_ = ['../../gait/gaitpart/gaitpart_8xb16-120k_casiab-64x44.py', '../_base_/geta.py']
model = dict(
    _base_.geta, _delete_=True, architecture=_base_.model,
    checkpoint='work_dirs/gaitpart_8xb16-120k_casiab-64x44/iter_120000.pth', divisor=8)
optim_wrapper = dict(_base_.geta_optim, lr_ratio=1.0)
default_hooks = _base_.geta_hooks
train_cfg = dict(max_iters=120000, val_interval=120000)
param_scheduler = dict(milestones=[100000])
