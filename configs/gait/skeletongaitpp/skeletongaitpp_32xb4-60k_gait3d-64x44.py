_base_ = [
    '../_base_/models/skeletongaitpp.py', '../_base_/datasets/gait3d.py', '../_base_/schedules/sgd.py',
    '../_base_/runtime.py'
]

model = dict(backbone=dict(blocks=(1, 4, 4, 1)))
# A sequence has two pickles: the maps of its joints, and its silhouettes.
# The augmentations of OpenGait, whose published figures were trained with them; style='corrected'
# is beside each.
train_pipeline = [
    dict(type='LoadSilhouettes', channels=3),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=30, skip=4),
    dict(type='PerspectiveSequence', prob=0.2, style='opengait'),
    dict(type='CropSides'),
    dict(type='FlipSequence', prob=0.2, style='opengait'),
    dict(type='RotateSequence', prob=0.2, degrees=10., style='opengait'),
    dict(type='PackGaitInputs'),
]
test_pipeline = [
    dict(type='LoadSilhouettes', channels=3),
    dict(type='SampleFrames', mode='all', limit=720),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(data_in_use=[0, 1], pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_in_use=[0, 1], pipeline=test_pipeline))
test_dataloader = val_dataloader

param_scheduler = dict(milestones=[20000, 30000, 40000])
