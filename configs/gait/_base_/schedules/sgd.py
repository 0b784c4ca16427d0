optim_wrapper = dict(
    # published training is in half precision, which needs an accelerator
    type='AmpOptimWrapper' if __import__('torch').cuda.is_available() else 'OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4))
param_scheduler = dict(
    type='MultiStepLR', milestones=[20000, 40000, 50000], gamma=0.1, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=60000, val_interval=10000)
