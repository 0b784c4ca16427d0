# GroupFisher as MMRazor has it, over its dynamic layers; the head of RTMPose stays whole.
group_fisher_mmrazor = dict(
    _scope_='mmrazor',
    type='GroupFisherAlgorithm',
    interval=10,
    mutator=dict(
        type='GroupFisherChannelMutator',
        divisor=1,
        parse_cfg=dict(type='ChannelAnalyzer', tracer_type='FxTracer'),
        channel_unit_cfg=dict(
            type='GroupFisherChannelUnit', default_args=dict(normalization_type='act'))))

group_fisher_mmrazor_optim = dict(
    constructor='mmrazor.CompressionOptimWrapperConstructor', lr_ratio=0.1)

# The run ends with the epoch in which the last checkpoint of save_ckpt_thr is saved.
group_fisher_mmrazor_hooks = dict(
    structure=dict(type='mmrazor.PruningStructureHook'),
    resource=dict(
        type='mmrazor.ResourceInfoHook',
        demo_input=dict(type='mmrazor.DefaultDemoInput', input_shape=(1, 3, 256, 192)),
        interval=10,
        save_ckpt_thr=[0.5]))

model_wrapper_cfg = dict(type='mmrazor.GroupFisherDDP', broadcast_buffers=False)
