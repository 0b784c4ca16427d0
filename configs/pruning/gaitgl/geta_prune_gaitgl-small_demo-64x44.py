#############################################################################
"""You have to fill these args.

_base_ (list): The config of your dense model, then the settings of GETA.
pretrained_path (str): The checkpoint of your dense model.

quant (dict | None): What to quantize: the range of bit widths of weights and of
    activations in the finished model, and any other argument of QuantConfig.
    None only prunes. The classifier only serves training and stays float.
target (dict | None): What to prune. kind='macs', 'params' or 'bops' with the
    share to leave; or kind='sparsity' with the share of channels to prune.
    None only quantizes.
prune_embedding (bool): Whether the channels of the embedding are pruned too.
    False keeps them for galleries that exist already.
lr_ratio (float): Factor on the learning rate of the dense training.
lr_quant (float): Learning rate of the step sizes and ranges.

divisor (int | dict): Channel counts are kept multiples of it; a number, or a
    table by unit (tools/get_channel_units.py lists them).
input_shape (tuple): Input shape (sequences, 1, frames, height, width) to find the
    units and to count MACs and BOPs.

The run leaves fix_subnet.json, quant.json and compressed.pth in its work_dir.
"""

_base_ = [
    '../../gait/gaitgl/gaitgl-small_demo-64x44.py',
    '../_base_/geta.py',
]
pretrained_path = 'work_dirs/gaitgl-small_demo-64x44/iter_500.pth'

quant = dict(
    weight_bits=(4, 8),
    activation_bits=(4, 8),
    float_layers={'head.classifier': 'is not deployed'})
target = dict(kind='macs', ratio=0.5)
prune_embedding = True
lr_ratio = 0.4
lr_quant = 1e-3

divisor = 2
input_shape = (1, 1, 6, 64, 44)
##############################################################################

architecture = _base_.model
architecture.init_cfg = dict(type='Pretrained', checkpoint=pretrained_path)
architecture.tensor_output = 'logits' if prune_embedding else 'embedding'
architecture['_scope_'] = _base_.default_scope

model = _base_.geta
model.update(_delete_=True, architecture=architecture, quant=quant, target=target)
model.mutator.update(demo_input=input_shape, divisor=divisor)

optim_wrapper = dict(
    constructor='mmrazor.GETAOptimWrapperConstructor',
    optimizer=dict(
        type='QASSO',
        variant='adam',
        lr=_base_.optim_wrapper.optimizer.lr * lr_ratio,
        lr_quant=lr_quant))

geta_hooks = _base_.geta_hooks
custom_hooks = geta_hooks

max_iters = 240
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = dict(milestones=[168, 216])
default_hooks = dict(checkpoint=dict(interval=max_iters))
