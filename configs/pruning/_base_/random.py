# Random channels are pruned: what any criterion must beat.
random = dict(
    type='mmrazor.RandomPruning',
    target=dict(kind='macs', ratio=0.5),
    divisor=1,
    # Shares of the run: at once where both are equal, else every interval iterations between them.
    schedule=dict(begin=0.0, end=0.0, interval=10))
random_optim = dict(
    constructor='mmrazor.CompressionOptimWrapperConstructor', lr_ratio=0.5)
random_hooks = dict(pruning=dict(type='mmrazor.PruningHook', interval=50))
