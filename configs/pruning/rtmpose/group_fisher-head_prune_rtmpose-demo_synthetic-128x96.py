#############################################################################
"""You have to fill these args.

_base_ (list): The config of your dense model, then the settings of GroupFisher
    over the dependency graph, which sees the units of the head as well.
pretrained_path (str): The checkpoint of your dense model.

interval (int): Iterations between two prunings.
normalization_type (str): What the importance of a channel is divided by: 'flops',
    or 'act', the memory of its activations.
lr_ratio (float): Factor on the learning rate of the dense training. Pruning
    is unstable; lower it until the run shows no nan.

target_flop_ratio (float): Share of the multiply-accumulates to keep.
prune_end (float): Share of the run by which the target is met. The run ends
    with that epoch.
divisor (int | dict): Channel counts are kept multiples of it; a number, or a
    table by unit (tools/get_channel_units.py lists them).
input_shape (tuple): Input shape to find the units and to count MACs.

The run leaves fix_subnet.json and compressed.pth in its work_dir.
"""

_base_ = [
    '../../pose/rtmpose-demo_synthetic-128x96.py',
    '../_base_/group_fisher_graph.py',
]
pretrained_path = 'work_dirs/rtmpose-demo_synthetic-128x96/epoch_10.pth'

interval = 10
normalization_type = 'act'
lr_ratio = 0.3

target_flop_ratio = 0.5
prune_end = 0.7
divisor = 8
input_shape = (1, 3, 128, 96)
##############################################################################

architecture = _base_.model
architecture.init_cfg = dict(type='Pretrained', checkpoint=pretrained_path)
architecture['_scope_'] = _base_.default_scope

model = _base_.group_fisher
model.update(
    _delete_=True,
    architecture=architecture,
    interval=interval,
    target_flop_ratio=target_flop_ratio,
    prune_end=prune_end)
model.mutator.update(
    demo_input=input_shape, divisor=divisor, normalization_type=normalization_type)

optim_wrapper = dict(optimizer=dict(lr=_base_.optim_wrapper.optimizer.lr * lr_ratio))

prune_hooks = _base_.prune_hooks
prune_hooks[1].update(interval=interval, save_ckpt_thr=[target_flop_ratio])
custom_hooks = _base_.custom_hooks + prune_hooks

train_cfg = dict(max_epochs=2, val_interval=2)
param_scheduler = [dict(type='LinearLR', start_factor=.1, by_epoch=False, begin=0, end=20)]
