_base_ = './deepgaitv2.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='SkeletonGaitPPBackbone',
        inputs=(2, 1),
        channels=(64, 128, 256, 512),
        strides=(1, 2, 2, 1),
        blocks=(1, 1, 1, 1)),
    head=dict(num_classes=3000))
