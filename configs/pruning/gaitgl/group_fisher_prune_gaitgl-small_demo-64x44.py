#############################################################################
"""You have to fill these args.

_base_ (list): The config of your dense model, then the settings of GroupFisher.
pretrained_path (str): The checkpoint of your dense model.

interval (int): Iterations between two prunings.
normalization_type (str): What the importance of a channel is divided by: 'flops',
    or 'act', the memory of its activations.
lr_ratio (float): Factor on the learning rate of the dense training. Pruning
    is unstable; lower it until the run shows no nan.

target_flop_ratio (float): Share of the FLOPs to keep.
prune_end (float): Share of the run by which the target is met.
prune_embedding (bool): Whether the channels of the embedding are pruned too.
    False keeps them for galleries that exist already.
divisor (int | dict): Channel counts are kept multiples of it; a number, or a
    table by unit (tools/get_channel_units.py lists them).
input_shape (tuple): Input shape (sequences, 1, frames, height, width) to find the
    units and to count FLOPs.

Clips of one length are needed (SampleFrames with mode='fixed'). The run leaves
fix_subnet.json and compressed.pth in its work_dir.
"""

_base_ = [
    '../../gait/gaitgl/gaitgl-small_demo-64x44.py',
    '../_base_/group_fisher_graph.py',
]
pretrained_path = 'work_dirs/gaitgl-small_demo-64x44/iter_500.pth'

interval = 3
normalization_type = 'act'
lr_ratio = 0.2

target_flop_ratio = 0.5
prune_end = 0.8
prune_embedding = True
divisor = 2
input_shape = (1, 1, 6, 64, 44)
##############################################################################

architecture = _base_.model
architecture.init_cfg = dict(type='Pretrained', checkpoint=pretrained_path)
architecture.tensor_output = 'logits' if prune_embedding else 'embedding'
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

max_iters = 60
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = dict(milestones=[])
default_hooks = dict(checkpoint=dict(interval=max_iters))

prune_hooks = _base_.prune_hooks
prune_hooks[0].update(by_epoch=False, interval=6)
prune_hooks[1].update(
    interval=interval, save_ckpt_thr=[target_flop_ratio], early_stop=False)
custom_hooks = prune_hooks
