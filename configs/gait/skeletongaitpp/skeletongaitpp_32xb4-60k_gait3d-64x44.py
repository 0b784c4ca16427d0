_base_ = [
    '../_base_/models/skeletongaitpp.py', '../_base_/datasets/gait3d_maps.py',
    '../_base_/schedules/sgd.py', '../_base_/runtime.py'
]

model = dict(backbone=dict(blocks=(1, 4, 4, 1)))
# A sequence has two pickles: the maps of its joints, and its silhouettes.
train_pipeline = [dict(type='LoadSilhouettes', channels=3), *_base_.train_pipeline[1:]]
test_pipeline = [dict(type='LoadSilhouettes', channels=3), *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(data_in_use=[0, 1], pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_in_use=[0, 1], pipeline=test_pipeline))
test_dataloader = val_dataloader

param_scheduler = dict(milestones=[20000, 30000, 40000])
