_base_ = [
    '../_base_/models/deepgaitv2.py', '../_base_/datasets/oumvlp.py', '../_base_/schedules/sgd.py',
    '../_base_/runtime.py'
]

model = dict(head=dict(num_classes=5153))
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
param_scheduler = dict(milestones=[60000, 80000, 100000])
train_cfg = dict(max_iters=120000)
