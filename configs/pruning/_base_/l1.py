# Channels of the smallest L1 norm of their weights are pruned.
l1 = dict(
    type='mmrazor.L1Pruning',
    target=dict(kind='macs', ratio=0.5),
    divisor=1,
    # Shares of the run: at once where both are equal, else every interval iterations between them.
    schedule=dict(begin=0.0, end=0.0, interval=10))
l1_optim = dict(
    constructor='mmrazor.CompressionOptimWrapperConstructor', lr_ratio=0.5)
l1_hooks = dict(pruning=dict(type='mmrazor.PruningHook', interval=50))
