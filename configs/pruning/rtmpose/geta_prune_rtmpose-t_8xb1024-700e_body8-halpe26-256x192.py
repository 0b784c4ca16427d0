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
    'mmpose::body_2d_keypoint/rtmpose/body8/rtmpose-t_8xb1024-700e_body8-halpe26-256x192.py',
    '../_base_/geta.py',
]
pretrained_path = 'https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/rtmpose-t_simcc-body7_pt-body7-halpe26_700e-256x192-6020f8a6_20230605.pth'

quant = dict(weight_bits=(4, 8), activation_bits=(4, 8))
target = dict(kind='macs', ratio=0.5)
lr_ratio = 0.5
lr_quant = 1e-3

divisor = 1
input_shape = (1, 3, 256, 192)
##############################################################################

custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)

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
