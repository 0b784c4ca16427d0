_base_ = ['../_base_/models/gln.py', '../_base_/datasets/demo.py', '../_base_/schedules/demo.py']

model = dict(
    backbone=dict(channels=(8, 16, 32)),
    neck=dict(channels=(8, 16, 32), lateral_channels=32),
    head=dict(in_channels=32, embed_channels=32))

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=1e-3, weight_decay=0.))
