_base_ = '../skeletongaitpp/skeletongaitpp-small_demo-64x44.py'

# Silhouettes, then the maps of limbs and joints, are the two parts.
model = dict(
    backbone=dict(
        _delete_=True, type='MultiGaitPPBackbone', inputs=(1, 2), channels=(8, 16, 32, 64),
        strides=(1, 2, 2, 1), blocks=(1, 1, 1, 1), stem_stride=2, squeeze=2))
dataset = dict(data_in_use=[1, 0])
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
