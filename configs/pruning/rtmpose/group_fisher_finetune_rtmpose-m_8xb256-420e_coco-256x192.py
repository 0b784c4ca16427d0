#############################################################################
"""You have to fill these args.

_base_ (str): Your pruning config.
pruned_path (str): The checkpoint that the pruning run has left.
finetune_lr (float): Learning rate, usually that of the dense training.
divisor (int): Pad channel counts up to multiples of it; 1 keeps them.
"""

_base_ = './group_fisher_prune_rtmpose-m_8xb256-420e_coco-256x192.py'
pruned_path = 'work_dirs/group_fisher_prune_rtmpose-m_8xb256-420e_coco-256x192/flops_0.51.pth'
finetune_lr = 4e-3
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
