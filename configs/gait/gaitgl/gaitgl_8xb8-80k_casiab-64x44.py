_base_ = [
    '../_base_/models/gaitgl.py', '../_base_/datasets/casiab.py', '../_base_/schedules/adam.py',
    '../_base_/runtime.py'
]

train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=30),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
