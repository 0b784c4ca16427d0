# What every run without training shares: tools/post_train.py takes a few hundred images. A config
# splices this name and adds `architecture` and `checkpoint`.
post_training = dict(
    type='mmrazor.PostTraining',
    # Bit widths to choose from, and any other argument of QuantConfig. None only prunes.
    quant=dict(
        weight_bits=(8, 8), activation_bits=(8, 8), weight_granularity='channel',
        weight_power=False),
    # kind='macs', 'params', 'bops' or 'latency' with the share to leave, or kind='sparsity' with
    # the share of channels to prune. None only quantizes.
    target=dict(kind='macs', ratio=0.5),
    # Channel counts are multiples of it: a number, or a table by unit, as
    # tools/get_channel_units.py lists them.
    divisor=1)
