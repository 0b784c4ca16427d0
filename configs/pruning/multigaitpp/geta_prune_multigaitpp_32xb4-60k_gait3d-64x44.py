"""GETA on MultiGait++, Gait3D: half of the MACs, 4 to 8 bits.

Worth changing: model.checkpoint, model.target.ratio, model.quant.weight_bits,
model.quant.activation_bits, model.divisor, optim_wrapper.lr_ratio; and
model.architecture.tensor_output='embedding' keeps the channels of the embedding.
"""

_base_ = ['../../gait/multigaitpp/multigaitpp_32xb4-60k_gait3d-64x44.py', '../_base_/geta.py']
model = dict(
    _base_.geta, _delete_=True, architecture=dict(_base_.model, tensor_output='logits'),
    checkpoint='work_dirs/multigaitpp_32xb4-60k_gait3d-64x44/iter_60000.pth', divisor=8)
optim_wrapper = dict(_base_.geta_optim, lr_ratio=0.1)
default_hooks = _base_.geta_hooks
train_cfg = dict(max_iters=60000, val_interval=60000)
param_scheduler = dict(milestones=[40000, 50000])
