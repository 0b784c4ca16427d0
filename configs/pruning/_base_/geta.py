# What every GETA run shares. A config splices these names and adds `architecture` and `checkpoint`;
# distill=True lets the dense model teach.
geta = dict(
    type='mmrazor.GETA',
    # Bit widths of the finished model, and any other argument of QuantConfig; mean_bits spends the
    # bits of one width where they spare most loss. None only prunes.
    quant=dict(weight_bits=(4, 8), activation_bits=(4, 8)),
    # kind='macs', 'params', 'bops' or 'latency' with the share to leave, or kind='sparsity' with
    # the share of channels to prune. None only quantizes.
    target=dict(kind='macs', ratio=0.5),
    # Channel counts are multiples of it: a number, or a table by unit, as
    # tools/get_channel_units.py lists them.
    divisor=1,
    # Shares of the run; structure and bits are fixed in the rest of it.
    stages=dict(
        warmup=0.02, projection=0.08, pruning=0.2, projection_periods=3, pruning_periods=5))

# The optimizer of the dense training, its learning rate times lr_ratio; lr_quant is that of step
# sizes and ranges.
geta_optim = dict(
    constructor='mmrazor.CompressionOptimWrapperConstructor', lr_ratio=0.5, lr_quant=1e-3)

geta_hooks = dict(
    calibration=dict(type='mmrazor.GETACalibrationHook', num_batches=8),
    pruning=dict(type='mmrazor.PruningHook', interval=50))
