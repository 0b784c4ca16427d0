"""GETA on GaitGL, CASIA-B: half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio; and
model.architecture.tensor_output='embedding' keeps the channels of the embedding.
"""

_base_ = ['../../gait/gaitgl/gaitgl_8xb8-80k_casiab-64x44.py', '../_base_/geta.py']
model = dict(
    _base_.geta, _delete_=True, architecture=dict(_base_.model, tensor_output='logits'),
    checkpoint='work_dirs/gaitgl_8xb8-80k_casiab-64x44/iter_80000.pth', divisor=8,
    quant=dict(_base_.geta.quant, float_layers={'head.classifier': 'is not deployed'}))
optim_wrapper = dict(_base_.geta_optim, lr_ratio=1.0)
default_hooks = _base_.geta_hooks
train_cfg = dict(max_iters=80000, val_interval=80000)
param_scheduler = dict(milestones=[60000])
