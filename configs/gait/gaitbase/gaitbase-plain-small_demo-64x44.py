_base_ = ['./gaitbase-small_demo-64x44.py']

model = dict(
    backbone=dict(_delete_=True, type='GaitPlainCNN', channels=(8, 16, 32)),
    pooling=dict(bins=(16, 8, 4, 2, 1)),
    head=dict(in_channels=32, embed_channels=32, num_parts=31))
