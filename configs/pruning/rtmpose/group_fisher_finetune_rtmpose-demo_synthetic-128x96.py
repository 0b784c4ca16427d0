#############################################################################
"""You have to fill these args.

_base_ (str): Your pruning config.
pruned_path (str): The checkpoint that the pruning run has left.
finetune_lr (float): Learning rate, usually that of the dense training.
divisor (int): Pad channel counts up to multiples of it; 1 keeps them.
"""

_base_ = './group_fisher_prune_rtmpose-demo_synthetic-128x96.py'
pruned_path = 'work_dirs/group_fisher_prune_rtmpose-demo_synthetic-128x96/flops_0.50.pth'
finetune_lr = 5e-4
divisor = 1
##############################################################################

algorithm = _base_.model
algorithm.init_cfg = dict(type='Pretrained', checkpoint=pruned_path)

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='GroupFisherSubModel',
    algorithm=algorithm,
    divisor=divisor,
)

optim_wrapper = dict(optimizer=dict(lr=finetune_lr))

prune_hook_types = [hook['type'] for hook in _base_.prune_hooks]
custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] not in prune_hook_types]

model_wrapper_cfg = None

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=.1, by_epoch=False, begin=0, end=20),
    dict(
        type='CosineAnnealingLR',
        eta_min=finetune_lr * .01,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True),
]
