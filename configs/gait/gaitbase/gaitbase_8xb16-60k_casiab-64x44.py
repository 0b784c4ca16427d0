_base_ = [
    '../_base_/models/gaitbase.py', '../_base_/datasets/casiab.py', '../_base_/schedules/sgd.py',
    '../_base_/runtime.py'
]

# The augmentations of OpenGait, whose published figures were trained with them; style='corrected'
# is beside each.
train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=False, num_frames=30),
    dict(type='CropSides'),
    dict(type='RotateSequence', prob=0.3, degrees=10., style='opengait'),
    dict(type='EraseSequence', prob=0.3, area=(0.05, 0.2), style='opengait'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
