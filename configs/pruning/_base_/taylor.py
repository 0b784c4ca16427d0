# Channels whose removal changes the loss least are pruned (first order).
taylor = dict(
    type='mmrazor.TaylorPruning',
    target=dict(kind='macs', ratio=0.5),
    divisor=1,
    # Shares of the run: at once where both are equal, else every interval iterations between them.
    schedule=dict(begin=0.02, end=0.02, interval=10))
taylor_optim = dict(
    constructor='mmrazor.CompressionOptimWrapperConstructor', lr_ratio=0.5)
taylor_hooks = dict(pruning=dict(type='mmrazor.PruningHook', interval=50))
