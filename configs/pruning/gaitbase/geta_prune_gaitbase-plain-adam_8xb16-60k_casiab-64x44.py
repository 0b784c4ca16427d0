"""A plain GaitBase that is pruned while it is trained from scratch, in float, by HESSO with Adam.

Half of all channels go between iterations 10 000 and 30 000, in ten periods. Worth changing:
model.target.ratio, model.stages.warmup, model.stages.pruning, model.stages.pruning_periods,
optim_wrapper.optimizer.lr, optim_wrapper.optimizer.weight_decay.
"""

_base_ = ['../../gait/gaitbase/gaitbase-plain_8xb16-60k_casiab-64x44.py', '../_base_/geta.py']
model = dict(
    _base_.geta, _delete_=True, architecture=dict(_base_.model, tensor_output='logits'), quant=None,
    target=dict(kind='sparsity', ratio=0.5),
    stages=dict(warmup=10000, projection=0, pruning=20000, pruning_periods=10))
optim_wrapper = dict(_base_.geta_optim, lr_ratio=1.0, optimizer=dict(
    _delete_=True, type='HESSO', variant='adam', lr=1e-4, weight_decay=5e-4))
default_hooks = _base_.geta_hooks
