# What every GETA run shares; a prune config fills in the rest.
geta = dict(
    _scope_='mmrazor',
    type='GETA',
    mutator=dict(type='GETAMutator'),
    # Fractions of the run; the rest of it is the cool-down, in which structure and bits are fixed.
    stages=dict(
        warmup=0.02,
        projection=0.08,
        pruning=0.2,
        projection_periods=3,
        pruning_periods=5,
    ),
)

geta_hooks = [
    dict(type='mmrazor.GETACalibrationHook', num_batches=8),
    dict(type='mmrazor.GETAHook', interval=50),
]
