optim_wrapper = dict(
    # published training is in half precision, which needs an accelerator
    type='AmpOptimWrapper' if __import__('torch').cuda.is_available() else 'OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-4, weight_decay=5e-4),
    # the power of GeM pooling is no weight to shrink
    paramwise_cfg=dict(custom_keys={'pooling.p': dict(decay_mult=0.)}))
param_scheduler = dict(type='MultiStepLR', milestones=[70000], gamma=0.1, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=80000, val_interval=10000)
