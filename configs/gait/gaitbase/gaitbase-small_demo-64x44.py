_base_ = [
    '../_base_/models/gaitbase.py', '../_base_/datasets/demo.py', '../_base_/schedules/demo.py'
]

model = dict(
    backbone=dict(channels=(8, 16, 32, 64), stem_stride=2),
    pooling=dict(bins=(8, )),
    head=dict(in_channels=64, embed_channels=64, num_parts=8, num_classes=32))
