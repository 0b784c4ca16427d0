# What every GroupFisher run over the dependency graph shares. A config splices these names and adds
# `architecture` and `checkpoint`.
group_fisher = dict(
    type='mmrazor.GroupFisher',
    # kind='macs', 'params' or 'latency' with the share to leave, or kind='sparsity' with the share
    # of channels to prune.
    target=dict(kind='macs', ratio=0.5),
    # Channel counts are multiples of it: a number, or a table by unit, as
    # tools/get_channel_units.py lists them.
    divisor=1,
    # What the importance of a channel is divided by: 'flops', or 'act', the memory of activations.
    normalization='act',
    # Shares of the run between which the target is approached, and iterations between two prunings.
    schedule=dict(begin=0.0, end=0.8, interval=10))

# The optimizer of the dense training, its learning rate times lr_ratio. Pruning is unstable: lower
# it until the run shows no nan.
group_fisher_optim = dict(
    constructor='mmrazor.CompressionOptimWrapperConstructor', lr_ratio=0.1)

# stop_when_pruned ends the run with the epoch in which the target is met.
group_fisher_hooks = dict(
    pruning=dict(type='mmrazor.PruningHook', interval=50, stop_when_pruned=False))
