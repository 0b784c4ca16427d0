#############################################################################
"""You have to fill these args.

_base_ (str): Your pruning config.
pruned_dir (str): The work_dir of the pruning run, or the folder of
    tools/extract_compressed.py. For the result of GroupFisher set quant=None.
quant (str | None): The quant.json of that run; None finetunes in float.
finetune_lr (float): Learning rate.
lr_quant (float): Learning rate of the ranges; the bit widths are fixed.

The run writes fix_subnet.json and quant.json into its work_dir again.
"""

_base_ = './geta_prune_gaitgl-small_demo-64x44.py'
pruned_dir = 'work_dirs/geta_prune_gaitgl-small_demo-64x44'
quant = f'{pruned_dir}/quant.json' if _base_.quant else None
finetune_lr = 0.002
lr_quant = 1e-4
##############################################################################

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='CompressedModel',
    architecture=_base_.architecture,
    fix_subnet=f'{pruned_dir}/fix_subnet.json',
    quant=quant,
    checkpoint=f'{pruned_dir}/compressed.pth',
    demo_input=_base_.input_shape,
)

optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type='Adam',
        lr=finetune_lr,
        lr_quant=lr_quant,
        weight_decay=_base_.optim_wrapper.optimizer.weight_decay))

custom_hooks = [dict(type='mmrazor.CompressedModelHook')]

max_iters = 120
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = dict(milestones=[80])
default_hooks = dict(checkpoint=dict(interval=max_iters))
