"""GETA on GLN, CASIA-B: half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio.
"""

_base_ = ['../../gait/gln/gln_8xb16-40k_casiab-128x88.py', '../_base_/geta.py']
model = dict(
    _base_.geta, _delete_=True, architecture=_base_.model,
    checkpoint='work_dirs/gln_8xb16-40k_casiab-128x88/iter_40000.pth', divisor=8,
    demo_input=(1, 1, 6, 128, 88))
optim_wrapper = dict(_base_.geta_optim, lr_ratio=0.1)
default_hooks = _base_.geta_hooks
train_cfg = dict(max_iters=40000, val_interval=40000)
param_scheduler = dict(milestones=[26000, 34000])
