_base_ = './gait3d.py'

# The augmentations of OpenGait, whose published figures were trained with them; style='corrected'
# is beside each.
train_pipeline = [
    dict(type='LoadSilhouettes', channels=2),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=30, skip=4),
    dict(type='PerspectiveSequence', prob=0.2, style='opengait'),
    dict(type='CropSides'),
    dict(type='FlipSequence', prob=0.2, style='opengait'),
    dict(type='RotateSequence', prob=0.2, degrees=10., style='opengait'),
    dict(type='PackGaitInputs'),
]
test_pipeline = [
    dict(type='LoadSilhouettes', channels=2),
    dict(type='SampleFrames', mode='all', limit=720),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
