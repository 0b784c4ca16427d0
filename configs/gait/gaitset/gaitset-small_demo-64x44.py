_base_ = ['../_base_/models/gaitset.py', '../_base_/datasets/demo.py', '../_base_/schedules/demo.py']

model = dict(
    backbone=dict(channels=(16, 32, 64), stem_stride=2),
    neck=dict(channels=(16, 32, 64)),
    pooling=dict(bins=(8, 4, 2, 1)),
    head=dict(in_channels=64, embed_channels=64, num_parts=30))

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=1e-3, weight_decay=0.))
