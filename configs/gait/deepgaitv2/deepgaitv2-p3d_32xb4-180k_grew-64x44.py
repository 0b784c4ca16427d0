_base_ = [
    '../_base_/models/deepgaitv2.py', '../_base_/datasets/grew.py', '../_base_/schedules/sgd.py',
    '../_base_/runtime.py'
]

model = dict(backbone=dict(blocks=(1, 4, 4, 1)), head=dict(num_classes=20000))
# The augmentations of OpenGait, whose published figures were trained with them; style='corrected'
# is beside each.
train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=30, skip=4),
    dict(type='PerspectiveSequence', prob=0.2, style='opengait'),
    dict(type='CropSides'),
    dict(type='FlipSequence', prob=0.2, style='opengait'),
    dict(type='RotateSequence', prob=0.2, degrees=10., style='opengait'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = dict(milestones=[80000, 120000, 150000])
train_cfg = dict(max_iters=180000)
