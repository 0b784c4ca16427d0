#############################################################################
"""You have to fill these args.

_base_ (str): Your pruning config.
pruned_dir (str): The work_dir of the pruning run, or the folder of
    tools/extract_compressed.py.
finetune_lr (float): Learning rate.

The run writes fix_subnet.json into its work_dir again.
"""

_base_ = './group_fisher_prune_gaitbase-small_demo-64x44.py'
pruned_dir = 'work_dirs/group_fisher_prune_gaitbase-small_demo-64x44'
finetune_lr = 0.02
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
custom_hooks = [dict(type='mmrazor.CompressedModelHook')]
model_wrapper_cfg = None

max_iters = 200
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = dict(milestones=[120, 180])
default_hooks = dict(checkpoint=dict(interval=max_iters))
