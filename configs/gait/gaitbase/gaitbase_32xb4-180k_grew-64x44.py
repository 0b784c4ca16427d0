_base_ = [
    '../_base_/models/gaitbase.py', '../_base_/datasets/grew.py', '../_base_/schedules/sgd.py',
    '../_base_/runtime.py'
]

model = dict(head=dict(num_classes=20000))
# The augmentations of OpenGait, whose published figures were trained with them; style='corrected'
# is beside each. OpenGait draws once for all sequences of a rank where lengths differ, this for
# each sequence.
train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='unfixed', ordered=False, min_frames=20, max_frames=40),
    dict(type='PerspectiveSequence', prob=0.2, style='opengait'),
    dict(type='CropSides'),
    dict(type='FlipSequence', prob=0.2, style='opengait'),
    dict(type='RotateSequence', prob=0.2, degrees=10., style='opengait'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = dict(milestones=[80000, 120000, 150000])
train_cfg = dict(max_iters=180000)
