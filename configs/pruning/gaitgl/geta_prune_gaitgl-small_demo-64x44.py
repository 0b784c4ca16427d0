"""GETA on a small GaitGL (synthetic walkers): half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio; and
model.architecture.tensor_output='embedding' keeps the channels of the embedding.
"""

_base_ = ['../../gait/gaitgl/gaitgl-small_demo-64x44.py', '../_base_/geta.py']
model = dict(
    _base_.geta, _delete_=True, architecture=dict(_base_.model, tensor_output='logits'),
    checkpoint='work_dirs/gaitgl-small_demo-64x44/iter_500.pth', divisor=2,
    quant=dict(_base_.geta.quant, float_layers={'head.classifier': 'is not deployed'}))
optim_wrapper = dict(_base_.geta_optim, lr_ratio=0.4)
default_hooks = dict(_base_.geta_hooks, checkpoint=dict(interval=240))
train_cfg = dict(max_iters=240, val_interval=240)
param_scheduler = dict(milestones=[168, 216])
