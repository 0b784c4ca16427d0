#############################################################################
"""A plain GaitBase that is pruned while it is trained from scratch, in float.

Adam, and HESSO's forgetting: half of all channels go between iterations 10 000 and 30 000, in ten
periods. The embedding's channels are pruned too.

You have to fill these args.

_base_ (list): The config of your dense model, then the settings of GETA.
target_group_sparsity (float): Share of the channels to prune.
lr (float): Learning rate.
weight_decay (float): Weight decay.
start_pruning_step (int): Iteration at which pruning begins.
pruning_steps (int): Iterations it lasts.
pruning_periods (int): Steps in which the sparsity rises.
input_shape (tuple): Input shape (sequences, 1, frames, height, width) to find the
    units and to count MACs.

The run leaves fix_subnet.json and compressed.pth in its work_dir.
"""

_base_ = [
    '../../gait/gaitbase/gaitbase-plain_8xb16-60k_casiab-64x44.py',
    '../_base_/geta.py',
]

target_group_sparsity = 0.5
lr = 1e-4
weight_decay = 5e-4
start_pruning_step = 10000
pruning_steps = 20000
pruning_periods = 10
input_shape = (1, 1, 6, 64, 44)
##############################################################################

architecture = _base_.model
architecture.tensor_output = 'logits'
architecture['_scope_'] = _base_.default_scope

model = _base_.geta
model.update(
    _delete_=True,
    architecture=architecture,
    quant=None,
    target=dict(kind='sparsity', ratio=target_group_sparsity))
model.mutator.update(demo_input=input_shape)
model.stages = dict(
    warmup=start_pruning_step,
    projection=0,
    pruning=pruning_steps,
    pruning_periods=pruning_periods)

optim_wrapper = dict(
    constructor='mmrazor.GETAOptimWrapperConstructor',
    optimizer=dict(
        _delete_=True, type='HESSO', variant='adam', lr=lr, weight_decay=weight_decay))

custom_hooks = _base_.geta_hooks
