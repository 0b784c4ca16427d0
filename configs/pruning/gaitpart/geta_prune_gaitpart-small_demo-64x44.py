"""GETA on a small GaitPart (synthetic walkers): half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio.
"""

_base_ = ['../../gait/gaitpart/gaitpart-small_demo-64x44.py', '../_base_/geta.py']
model = dict(
    _base_.geta, _delete_=True, architecture=_base_.model,
    checkpoint='work_dirs/gaitpart-small_demo-64x44/iter_800.pth', divisor=4)
optim_wrapper = dict(_base_.geta_optim, lr_ratio=1.0)
default_hooks = dict(_base_.geta_hooks, checkpoint=dict(interval=400))
train_cfg = dict(max_iters=400, val_interval=400)
param_scheduler = dict(milestones=[280, 360])
