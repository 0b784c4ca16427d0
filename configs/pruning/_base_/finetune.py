# What every finetune run shares, whichever algorithm has pruned. A config splices these names and
# adds `compressed`, the folder that the run has left; `distill`, the checkpoint of the dense model,
# lets that one teach.
finetune = dict(type='mmrazor.CompressedModel', checkpoint='auto')

# The optimizer of the dense training, its learning rate times lr_ratio; lr_quant is that of the
# ranges of a quantized model, whose bit widths are fixed.
finetune_optim = dict(
    constructor='mmrazor.CompressionOptimWrapperConstructor', lr_ratio=1.0, lr_quant=1e-4)

# Writes the folder again, as the run has left it.
finetune_hooks = dict(compressed=dict(type='mmrazor.CompressedModelHook'))
