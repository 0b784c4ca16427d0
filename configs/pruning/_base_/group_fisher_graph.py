# What every GroupFisher run over the dependency graph shares; a prune config fills in the rest.
group_fisher = dict(
    _scope_='mmrazor',
    type='GroupFisherAlgorithm',
    mutator=dict(type='GraphGroupFisherMutator'),
)

prune_hooks = [
    dict(type='mmrazor.PruningStructureHook'),
    dict(type='mmrazor.ResourceInfoHook'),
    dict(type='mmrazor.GroupFisherExportHook'),
]

model_wrapper_cfg = dict(type='mmrazor.GroupFisherDDP', broadcast_buffers=False)
