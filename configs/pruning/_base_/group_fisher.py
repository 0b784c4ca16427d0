# What every GroupFisher pruning run shares; a prune config fills in the rest.
group_fisher = dict(
    _scope_='mmrazor',
    type='GroupFisherAlgorithm',
    mutator=dict(
        type='GroupFisherChannelMutator',
        parse_cfg=dict(type='ChannelAnalyzer', tracer_type='FxTracer'),
        channel_unit_cfg=dict(type='GroupFisherChannelUnit', default_args=dict()),
    ),
)

prune_hooks = [
    dict(type='mmrazor.PruningStructureHook'),
    dict(
        type='mmrazor.ResourceInfoHook',
        demo_input=dict(type='mmrazor.DefaultDemoInput'),
    ),
]

model_wrapper_cfg = dict(type='mmrazor.GroupFisherDDP', broadcast_buffers=False)
