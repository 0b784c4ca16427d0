#############################################################################
"""You have to fill these args.

_base_ (str): Your pruning config.
pruned_dir (str): The work_dir of the pruning run, or the folder of
    tools/extract_compressed.py.
finetune_lr (float): Learning rate, usually that of the dense training.

The run writes fix_subnet.json into its work_dir again.
"""

_base_ = './group_fisher-head_prune_rtmpose-demo_synthetic-128x96.py'
pruned_dir = 'work_dirs/group_fisher-head_prune_rtmpose-demo_synthetic-128x96'
finetune_lr = 5e-4
##############################################################################

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='CompressedModel',
    architecture=_base_.architecture,
    fix_subnet=f'{pruned_dir}/fix_subnet.json',
    checkpoint=f'{pruned_dir}/compressed.pth',
    demo_input=_base_.input_shape,
)

optim_wrapper = dict(optimizer=dict(lr=finetune_lr))

prune_hook_types = [hook['type'] for hook in _base_.prune_hooks]
custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] not in prune_hook_types]
custom_hooks.append(dict(type='mmrazor.CompressedModelHook'))

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
