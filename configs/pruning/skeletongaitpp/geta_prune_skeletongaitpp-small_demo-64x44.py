"""GETA on a small SkeletonGait++ (synthetic walkers): half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio; and
model.architecture.tensor_output='embedding' keeps the channels of the embedding.
"""

_base_ = ['../../gait/skeletongaitpp/skeletongaitpp-small_demo-64x44.py', '../_base_/geta.py']
model = dict(
    _base_.geta, _delete_=True, architecture=dict(_base_.model, tensor_output='logits'),
    checkpoint='work_dirs/skeletongaitpp-small_demo-64x44/iter_800.pth', divisor=4)
optim_wrapper = dict(_base_.geta_optim, lr_ratio=0.2)
default_hooks = dict(_base_.geta_hooks, checkpoint=dict(interval=400))
train_cfg = dict(max_iters=400, val_interval=400)
param_scheduler = dict(milestones=[280, 360])
