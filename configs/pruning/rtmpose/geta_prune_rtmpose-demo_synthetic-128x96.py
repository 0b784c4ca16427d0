#############################################################################
"""You have to fill these args.

_base_ (list): The config of your dense model, then the settings of GETA.
pretrained_path (str): The checkpoint of your dense model.

quant (dict | None): What to quantize: the range of bit widths of weights and of
    activations in the finished model, and any other argument of QuantConfig.
    None only prunes.
target (dict | None): What to prune. kind='macs', 'params' or 'bops' with the
    share to leave; or kind='sparsity' with the share of channels to prune.
    None only quantizes.
lr_ratio (float): Factor on the learning rate of the dense training.
lr_quant (float): Learning rate of the step sizes and ranges.

divisor (int | dict): Channel counts are kept multiples of it; a number, or a
    table by unit (tools/get_channel_units.py lists them).
input_shape (tuple): Input shape to find the units and to count MACs and BOPs.

The run leaves fix_subnet.json, quant.json and compressed.pth in its work_dir.
"""

_base_ = [
    '../../pose/rtmpose-demo_synthetic-128x96.py',
    '../_base_/geta.py',
]
pretrained_path = 'work_dirs/rtmpose-demo_synthetic-128x96/epoch_10.pth'

quant = dict(weight_bits=(4, 8), activation_bits=(4, 8))
target = dict(kind='macs', ratio=0.5)
lr_ratio = 1.0
lr_quant = 1e-3

divisor = 8
input_shape = (1, 3, 128, 96)
##############################################################################

architecture = _base_.model
architecture.init_cfg = dict(type='Pretrained', checkpoint=pretrained_path)
architecture['_scope_'] = _base_.default_scope

model = _base_.geta
model.update(_delete_=True, architecture=architecture, quant=quant, target=target)
model.mutator.update(demo_input=input_shape, divisor=divisor)

optim_wrapper = dict(
    constructor='mmrazor.GETAOptimWrapperConstructor',
    optimizer=dict(
        type='QASSO',
        variant='adamw',
        lr=_base_.optim_wrapper.optimizer.lr * lr_ratio,
        lr_quant=lr_quant))

geta_hooks = _base_.geta_hooks
custom_hooks = _base_.custom_hooks + geta_hooks

max_epochs = 8
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=.1, by_epoch=False, begin=0, end=20),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=.05,
        begin=max_epochs // 2,
        end=max_epochs,
        T_max=max_epochs - max_epochs // 2,
        by_epoch=True,
        convert_to_iter_based=True),
]
